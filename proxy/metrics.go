package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts with bounded label sets: six kinds, five classes of status.
type metrics struct {
	active   prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	kinds    map[Kind]*kindMetrics
}

// kindMetrics are those of one kind, looked up once: a look-up by labels costs as much as the rest of counting.
type kindMetrics struct {
	name      string
	ok, bytes prometheus.Counter
	seconds   prometheus.Observer
}

func (m *metrics) register(r prometheus.Registerer) {
	m.active = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "winnow_proxy_active_requests", Help: "Requests being answered.",
	})
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "winnow_proxy_requests_total", Help: "Requests under /v2/, by kind and status.",
	}, []string{"kind", "status"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "winnow_proxy_request_seconds", Help: "Time to answer a request whole, by kind.",
		Buckets: []float64{.001, .005, .02, .1, .5, 1, 5, 30, 120, 600},
	}, []string{"kind"})
	m.bytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "winnow_proxy_sent_bytes_total", Help: "Bytes of answers sent, headers not counted, by kind.",
	}, []string{"kind"})
	m.kinds = map[Kind]*kindMetrics{}
	for _, kind := range []Kind{KindPing, KindManifest, KindBlob, KindTags, KindReferrers, KindOther} {
		name := string(kind)
		m.kinds[kind] = &kindMetrics{
			name: name, ok: m.requests.WithLabelValues(name, "200"),
			bytes: m.bytes.WithLabelValues(name), seconds: m.seconds.WithLabelValues(name),
		}
	}
	if r != nil {
		r.MustRegister(m.active, m.requests, m.seconds, m.bytes)
	}
}

// done counts a finished request.
func (m *metrics) done(kind Kind, status int, bytes int64, took time.Duration) {
	m.active.Dec()
	of := m.kinds[kind]
	if of == nil {
		of = m.kinds[KindOther]
	}
	if status == http.StatusOK {
		of.ok.Inc()
	} else {
		m.requests.WithLabelValues(of.name, strconv.Itoa(status)).Inc()
	}
	of.seconds.Observe(took.Seconds())
	of.bytes.Add(float64(bytes))
}
