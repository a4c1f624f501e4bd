package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/winnow-registry/winnow/policy"
)

// metrics counts with bounded label sets: decisions are three.
type metrics struct {
	cached   prometheus.Counter
	stale    prometheus.Counter
	unstored prometheus.Counter
	verdicts *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func (m *metrics) register(r prometheus.Registerer) {
	m.cached = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "winnow_admission_verdict_hits_total", Help: "Verdicts answered from memory.",
	})
	m.stale = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "winnow_admission_stale_resolutions_total", Help: "Pulls that used an older resolution because the upstream could not be asked.",
	})
	m.unstored = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "winnow_admission_unstored_total", Help: "Manifests and configurations that could not be put into the store.",
	})
	m.verdicts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "winnow_admission_verdicts_total", Help: "Verdicts made, by decision.",
	}, []string{"decision"})
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "winnow_admission_verdict_seconds", Help: "Time to make a verdict, fetching included.",
		Buckets: []float64{.005, .02, .1, .5, 1, 2, 5, 10, 30, 60, 300},
	})
	if r != nil {
		r.MustRegister(m.cached, m.stale, m.unstored, m.verdicts, m.seconds)
	}
}

func (m *metrics) made(d policy.Decision, took time.Duration) {
	m.verdicts.WithLabelValues(string(d)).Inc()
	m.seconds.Observe(took.Seconds())
}
