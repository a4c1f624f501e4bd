package proxy

import (
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
	if r != nil {
		r.MustRegister(m.active, m.requests, m.seconds, m.bytes)
	}
}

func (m *metrics) done(kind Kind, status int, bytes int64, took time.Duration) {
	if kind == "" {
		kind = KindOther
	}
	m.active.Dec()
	m.requests.WithLabelValues(string(kind), statusLabel(status)).Inc()
	m.seconds.WithLabelValues(string(kind)).Observe(took.Seconds())
	m.bytes.WithLabelValues(string(kind)).Add(float64(bytes))
}

// statusLabel spares the common statuses an allocation.
func statusLabel(status int) string {
	switch status {
	case 200:
		return "200"
	case 206:
		return "206"
	case 403:
		return "403"
	case 404:
		return "404"
	}
	return strconv.Itoa(status)
}
