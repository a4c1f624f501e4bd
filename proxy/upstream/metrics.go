package upstream

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the package's metrics. Every label is bounded: upstreams are configured, the rest are constants.
type counters struct {
	requests *prometheus.CounterVec // round trips by upstream, kind and status class
	bytes    *prometheus.CounterVec // body bytes by upstream
	refusals *prometheus.CounterVec // what the closed world or a check of content refused: worth an alert
	resumes  *prometheus.CounterVec // blobs continued after a fault
	open     *prometheus.GaugeVec   // 1 while the registry's own circuit is open
}

func newCounters(reg prometheus.Registerer) (*counters, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		opts := prometheus.CounterOpts{Namespace: "winnow", Subsystem: "upstream", Name: name, Help: help}
		return prometheus.NewCounterVec(opts, labels)
	}
	c := &counters{
		requests: vec("requests_total", "Requests sent, by kind and answer.", "upstream", "kind", "answer"),
		bytes:    vec("received_bytes_total", "Body bytes received.", "upstream"),
		refusals: vec("refusals_total", "Redirects, realms, addresses and contents refused.", "upstream", "reason"),
		resumes:  vec("resumes_total", "Blobs continued by Range after a fault.", "upstream"),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "winnow", Subsystem: "upstream", Name: "circuit_open",
			Help: "1 while a failing registry is not asked.",
		}, []string{"upstream"}),
	}
	if reg == nil {
		return c, nil
	}
	var errs []error
	for _, collector := range []prometheus.Collector{c.requests, c.bytes, c.refusals, c.resumes, c.open} {
		errs = append(errs, reg.Register(collector))
	}
	return c, errors.Join(errs...)
}

// answered counts a round trip; status 0 means none came back.
func (c *counters) answered(upstream, kind string, status int) {
	answer := "none"
	if status > 0 {
		answer = strconv.Itoa(status/100) + "xx"
		if status == 429 {
			answer = "429"
		}
	}
	c.requests.WithLabelValues(upstream, kind, answer).Inc()
}

func (c *counters) refused(upstream, reason string) {
	c.refusals.WithLabelValues(upstream, reason).Inc()
}

func (c *counters) circuit(upstream string, open bool) {
	value := 0.0
	if open {
		value = 1
	}
	c.open.WithLabelValues(upstream).Set(value)
}
