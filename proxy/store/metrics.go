package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	fills, evicted, evictedBytes, damaged prometheus.Counter
	fillBytes, faults, hits, misses       prometheus.Counter
	failures                              *prometheus.CounterVec
	active                                prometheus.Gauge
	all                                   []prometheus.Collector
}

func newMetrics(registerer prometheus.Registerer, x *index) (*metrics, error) {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "winnow", Subsystem: "store", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "winnow", Subsystem: "store", Name: name, Help: help}, value))
	}
	m.fills = counter("fills_total", "Fetches of cold objects that were begun.")
	m.fillBytes = counter("fill_bytes_total", "Bytes that fetches of cold objects received.")
	m.evicted = counter("evicted_total", "Objects evicted to keep the store within its size.")
	m.evictedBytes = counter("evicted_bytes_total", "Bytes evicted to keep the store within its size.")
	m.damaged = counter("damaged_total", "Objects that were found damaged and removed.")
	m.faults = counter("write_faults_total", "Writes that storage did not take.")
	m.hits = counter("small_hits_total", "Small objects answered from memory.")
	m.misses = counter("small_misses_total", "Small objects that memory did not hold.")
	m.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "winnow", Subsystem: "store", Name: "fill_failures_total",
		Help: "Fetches of cold objects that were not stored, by whose fault it was: source, content or storage.",
	}, []string{"fault"})
	m.active = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "winnow", Subsystem: "store", Name: "fills_active", Help: "Fetches of cold objects under way.",
	})
	m.all = append(m.all, m.failures, m.active)
	gauge("bytes", "Bytes held, as far as they have been counted.", func() float64 { return float64(x.total.Load()) })
	gauge("objects", "Objects held, as far as they have been counted.", func() float64 { return float64(x.count()) })
	if registerer == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := registerer.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister(registerer)
			return nil, fmt.Errorf("registering the store's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister(registerer prometheus.Registerer) {
	if registerer == nil {
		return
	}
	for _, c := range m.all {
		registerer.Unregister(c)
	}
}
