package upstream

import (
	"sync"
	"time"
)

const (
	// maxBreakerDoublings bounds the pause of an open circuit to 16 times the first, so that a registry that comes
	// back after a long outage is used again within seconds.
	maxBreakerDoublings = 4
	// maxHosts bounds the circuits of one upstream: its host rules are few, and a pattern matches a handful.
	maxHosts = 64
)

// An outcome is what one round trip says about its host.
type outcome uint8

const (
	outcomeOK      outcome = iota // it answered
	outcomeFault                  // it failed
	outcomeHang                   // it kept us waiting until a timeout: nobody else should wait as long
	outcomeUnknown                // the caller left
)

// A breaker stops asking a host that fails, and lets one request at a time find out whether it is back.
type breaker struct {
	threshold int
	base      time.Duration

	mu       sync.Mutex
	failures int
	pause    time.Duration // of the present opening; 0 = closed
	until    time.Time     // when the next probe may go
	probing  bool
}

// allow reports whether a request may go now, and otherwise how long the circuit stays open. Every allowed request
// must be reported once.
func (b *breaker) allow() (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return 0, true
	}
	if wait := time.Until(b.until); wait > 0 {
		return wait, false
	}
	if b.probing {
		return b.base, false
	}
	b.probing = true
	return 0, true
}

// report says how an allowed request went, and returns whether the circuit is open now, and was not before or the
// other way round.
func (b *breaker) report(o outcome) (open, turned bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.pause > 0
	b.note(o)
	return b.pause > 0, was != (b.pause > 0)
}

func (b *breaker) note(o outcome) {
	probe := b.probing
	switch o {
	case outcomeOK:
		b.failures, b.pause, b.probing = 0, 0, false
	case outcomeUnknown:
		b.probing = false
	case outcomeHang:
		b.failures = b.threshold
	case outcomeFault:
		b.failures++
	}
	switch {
	case o == outcomeUnknown, o == outcomeOK:
	case b.pause == 0 && b.failures >= b.threshold:
		b.pause, b.until = b.base, time.Now().Add(b.base)
	case b.pause > 0 && probe:
		b.probing = false
		b.pause = min(2*b.pause, b.base<<maxBreakerDoublings)
		b.until = time.Now().Add(b.pause)
	}
}

// health is what is known of an upstream's hosts. It outlives a reload.
type health struct {
	opts *Options

	mu       sync.Mutex
	breakers map[string]*breaker
	quiet    time.Time // the upstream said 429: nothing is sent before
}

func newHealth(opts *Options) *health {
	return &health{opts: opts, breakers: make(map[string]*breaker)}
}

// breaker returns the circuit of a host: a token server or a CDN that is down says nothing about the registry.
func (h *health) breaker(host string) *breaker {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.breakers[host]
	if b == nil {
		if len(h.breakers) >= maxHosts {
			clear(h.breakers)
		}
		b = &breaker{threshold: h.opts.BreakerFailures, base: h.opts.BreakerPause}
		h.breakers[host] = b
	}
	return b
}

// hush lets nothing be sent for a while. A shorter pause does not cut a longer one.
func (h *health) hush(pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(pause); until.After(h.quiet) {
		h.quiet = until
	}
}

// hushed returns how long nothing may be sent.
func (h *health) hushed() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.quiet)
}
