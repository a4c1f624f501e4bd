package cache

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// tierName is where a lookup was answered.
type tierName uint8

const (
	inMemory tierName = iota
	inRedis
	inEmbedded
	nowhere
	tiers // how many
)

func (t tierName) String() string { return [tiers]string{"memory", "redis", "embedded", "none"}[t] }

// metrics counts. The counters of lookups are made beforehand, so that a hit allocates nothing.
type metrics struct {
	lookups   [kinds][tiers]prometheus.Counter
	badSeals  *prometheus.CounterVec
	faults    *prometheus.CounterVec
	refused   *prometheus.CounterVec
	leases    *prometheus.CounterVec
	collected []prometheus.Collector
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "winnow_cache_" + name, Help: help}, labels)
}

func newMetrics() *metrics {
	lookups := counters("lookups_total", "Lookups by kind and by the tier that answered; tier none is a miss.", "kind", "tier")
	m := &metrics{
		badSeals: counters("bad_seals_total", "Entries whose seal did not verify: treated as misses.", "kind", "tier"),
		faults:   counters("redis_faults_total", "Times that Redis became unavailable, by reason.", "reason"),
		refused:  counters("refused_writes_total", "Writes refused since a newer one was there.", "kind"),
		leases:   counters("leases_total", "Leases taken; scope local while Redis is configured but unavailable.", "scope"),
	}
	for k := range kinds {
		for t := range tiers {
			m.lookups[k][t] = lookups.WithLabelValues(k.String(), t.String())
		}
	}
	m.collected = []prometheus.Collector{lookups, m.badSeals, m.faults, m.refused, m.leases}
	return m
}

func (m *metrics) fault(err error) {
	reason, _ := classify(err)
	m.faults.WithLabelValues(reason).Inc()
}

// register gives the metrics of c to reg, and takes them back when one of them cannot be.
func (m *metrics) register(reg prometheus.Registerer, c *Cache) error {
	if reg == nil {
		return nil
	}
	gauge := func(name, help string, of func(Status) float64) prometheus.Collector {
		opts := prometheus.GaugeOpts{Name: "winnow_cache_" + name, Help: help}
		return prometheus.NewGaugeFunc(opts, func() float64 { return of(c.Status()) })
	}
	m.collected = append(m.collected,
		gauge("entries", "Entries in memory.", func(s Status) float64 { return float64(s.Entries) }),
		gauge("bytes", "Bytes in memory, estimated.", func(s Status) float64 { return float64(s.Bytes) }),
		gauge("unsent_entries", "Entries that wait for Redis.", func(s Status) float64 { return float64(s.Unsent) }),
		gauge("degraded", "1 while Redis is configured and unavailable.", func(s Status) float64 {
			if s.Redis == RedisDegraded {
				return 1
			}
			return 0
		}),
		gauge("dropped_writes", "Writes that the embedded store could not keep.", func(s Status) float64 { return float64(s.Dropped) }),
	)
	for i, collector := range m.collected {
		if err := reg.Register(collector); err != nil {
			m.collected = m.collected[:i]
			m.unregister(reg)
			return fmt.Errorf("registering the metrics of the cache: %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.collected {
		reg.Unregister(c)
	}
}

// badSeal counts err if it is one.
func (m *metrics) badSeal(k kind, t tierName, err error) {
	if errors.Is(err, errSeal) {
		m.badSeals.WithLabelValues(k.String(), t.String()).Inc()
	}
}
