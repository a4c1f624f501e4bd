package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// callTimeout bounds what one call waits for Redis: what a pull may notice of a fault, once. Redis answers in well
	// under a millisecond, over a slow link in some ten.
	callTimeout = 100 * time.Millisecond

	// A server that answers a probe more slowly than half of that is not taken back: it would be lost again at once.
	probeTimeout = callTimeout / 2

	// probeEvery and probeSeldom are the waits between probes of a server that is down: short after it went, then longer.
	probeEvery  = 100 * time.Millisecond
	probeSeldom = time.Second

	// flapWindow and flapSeldom: a server that is lost within the window after it was taken back is left alone twice as
	// long each time, so that one which comes and goes costs a pull no more than one callTimeout in flapSeldom.
	flapWindow = 30 * time.Second
	flapSeldom = 15 * time.Second
)

// errUnavailable says that Redis is not asked now, or did not answer.
var errUnavailable = errors.New("redis is unavailable")

// remote is Redis behind a circuit breaker. One fault opens it; only the background asks the server then, and closes it
// when the server takes writes again.
type remote struct {
	backend *RedisBackend
	id      string // of this process, for its probes
	log     *zap.Logger
	metrics *metrics
	unsent  unsent

	up      atomic.Bool
	first   chan struct{} // closed when the first probe is over, or takes too long for calls to wait
	over    sync.Once     // closes first
	tripped chan struct{} // wakes run

	mu     sync.Mutex
	state  string
	since  time.Time
	reason string
}

func newRemote(backend *RedisBackend, id string, log *zap.Logger, m *metrics) *remote {
	return &remote{
		backend: backend, id: id, log: log, metrics: m,
		first:   make(chan struct{}),
		tripped: make(chan struct{}, 1),
		state:   RedisConnecting, since: time.Now(),
	}
}

// call runs f against the server within callTimeout. It returns errUnavailable, without having waited, while the breaker
// is open; the answers ErrMiss, ErrHeld and ErrLost; ctx's error; or a fault, which is an errUnavailable too.
func (r *remote) call(ctx context.Context, f func(context.Context) error) error {
	if r == nil {
		return errUnavailable
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case <-r.first: // a fresh process waits for the first connection rather than do what others have done
	case <-limited.Done():
		return errUnavailable
	}
	if !r.up.Load() {
		return errUnavailable
	}
	err := f(limited)
	switch {
	case err == nil, errors.Is(err, ErrMiss), errors.Is(err, ErrHeld), errors.Is(err, ErrLost):
		return err
	case ctx.Err() != nil:
		return ctx.Err() // the caller left; that says nothing of the server
	}
	r.trip(err)
	return fmt.Errorf("%w: %w", errUnavailable, err)
}

func (r *remote) trip(err error) {
	if !r.up.CompareAndSwap(true, false) {
		return
	}
	r.set(RedisDegraded, err)
	select {
	case r.tripped <- struct{}{}:
	default:
	}
}

// set records a state and says it once.
func (r *remote) set(state string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reason := ""
	if why != nil {
		reason = why.Error()
	}
	was := r.state
	r.reason = reason
	if was == state {
		return
	}
	r.state, r.since = state, time.Now()
	switch {
	case state == RedisDegraded:
		r.metrics.fault(why)
		r.log.Warn("redis is unavailable: serving from memory and the embedded cache", zap.Error(why), zap.String("advice", advice(why)))
	case was == RedisDegraded:
		r.log.Info("redis is available again")
	}
}

// run keeps the breaker until ctx ends.
func (r *remote) run(ctx context.Context) {
	defer time.AfterFunc(callTimeout, r.firstOver).Stop()
	var upSince time.Time
	wait, flap := probeEvery, probeEvery
	for ctx.Err() == nil {
		err := r.probe(ctx)
		if err == nil {
			upSince = time.Now()
			r.recover(ctx)
			r.firstOver()
			r.watch(ctx)
			if time.Since(upSince) < flapWindow {
				flap = min(2*flap, flapSeldom)
			} else {
				flap = probeEvery
			}
			wait = probeEvery
			sleep(ctx, flap)
			continue
		}
		if ctx.Err() == nil {
			r.set(RedisDegraded, err)
		}
		r.firstOver()
		sleep(ctx, wait)
		wait = min(2*wait, probeSeldom)
	}
	r.firstOver()
}

// firstOver lets the first callers go on.
func (r *remote) firstOver() { r.over.Do(func() { close(r.first) }) }

// watch returns when the breaker opened, and meanwhile sends what was added to unsent while it was closing.
func (r *remote) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.tripped:
			return
		case <-r.unsent.added():
			r.send(ctx)
		}
	}
}

// probe connects, for which there is time, and then asks for an answer as fast as a pull needs it.
func (r *remote) probe(ctx context.Context) error {
	for _, limit := range []time.Duration{connectTimeout, probeTimeout} {
		limited, cancel := context.WithTimeout(ctx, limit)
		err := r.backend.Ping(limited, r.id)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// recover closes the breaker and brings what was written meanwhile.
func (r *remote) recover(ctx context.Context) {
	select {
	case <-r.tripped: // of before
	default:
	}
	r.set(RedisUp, nil)
	r.up.Store(true)
	r.send(ctx)
}

// send writes what waits. What a fault interrupts waits on.
func (r *remote) send(ctx context.Context) {
	for r.up.Load() && ctx.Err() == nil {
		batch := r.unsent.take()
		if len(batch) == 0 {
			return
		}
		if err := r.call(ctx, func(ctx context.Context) error {
			_, err := r.backend.Write(ctx, batch...)
			return err
		}); err != nil {
			for _, w := range batch {
				r.unsent.put(w)
			}
			return
		}
	}
}

// sleep waits for d, give or take a quarter, so that replicas do not come back in step.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d*3/4 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (r *remote) status() (state string, since time.Time, reason string) {
	if r == nil {
		return RedisOff, time.Time{}, ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.since, r.reason
}
