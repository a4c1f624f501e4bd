package audit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	decided, completed, other    prometheus.Counter
	bytes, faults, unrecorded    prometheus.Counter
	writable                     prometheus.Gauge
	commitSeconds, commitRecords prometheus.Histogram
}

// newMetrics registers with reg; nil means that nobody reads them.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	records := f.NewCounterVec(prometheus.CounterOpts{
		Name: "winnow_audit_records_total", Help: "Audit records accepted, by event.",
	}, []string{"event"})
	return &metrics{
		decided:   records.WithLabelValues("decided"),
		completed: records.WithLabelValues("completed"),
		other:     records.WithLabelValues("other"),
		bytes: f.NewCounter(prometheus.CounterOpts{
			Name: "winnow_audit_bytes_total", Help: "Bytes of audit records written.",
		}),
		faults: f.NewCounter(prometheus.CounterOpts{
			Name: "winnow_audit_faults_total", Help: "Times that the audit log became unwritable.",
		}),
		unrecorded: f.NewCounter(prometheus.CounterOpts{
			Name: "winnow_audit_unrecorded_refusals_total", Help: "Refusals answered while no record could be written.",
		}),
		writable: f.NewGauge(prometheus.GaugeOpts{
			Name: "winnow_audit_writable", Help: "1 while the audit log can be written.",
		}),
		commitSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "winnow_audit_commit_seconds", Help: "Time of one group commit.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}),
		commitRecords: f.NewHistogram(prometheus.HistogramOpts{
			Name: "winnow_audit_commit_records", Help: "Records in one group commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 12),
		}),
	}
}

// count counts an accepted record; events are few here, whatever callers name theirs.
func (m *metrics) count(event string) {
	switch event {
	case EventDecided:
		m.decided.Inc()
	case EventCompleted:
		m.completed.Inc()
	default:
		m.other.Inc()
	}
}

func (m *metrics) committed(records int, took time.Duration) {
	m.commitRecords.Observe(float64(records))
	m.commitSeconds.Observe(took.Seconds())
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
