package admission

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// flights collapses equal work in this process. The work is detached from who asked first: it ends by itself, with a
// result or an error that every waiter gets.
type flights struct {
	group   singleflight.Group
	timeout time.Duration
	running atomic.Int64
}

// maxFlights bounds the work under way. It outlives the clients that asked for it, so that their connections do not.
const maxFlights = 4096

// do runs work under key, or joins it, and waits until it ends, ctx ends, or hold is up. Past maxFlights new work is not
// begun: it fails with ErrBusy.
func (f *flights) do(ctx context.Context, key string, hold *hold, work func(context.Context) (any, error)) (any, error) {
	results := f.group.DoChan(key, func() (result any, err error) {
		defer f.running.Add(-1)
		if f.running.Add(1) > maxFlights {
			return nil, ErrBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.timeout)
		defer cancel()
		defer func() {
			if p := recover(); p != nil { // one image must not end the process for all
				err = fmt.Errorf("deciding panicked: %v\n%s", p, debug.Stack())
			}
		}()
		return work(ctx)
	})
	select {
	case r := <-results:
		return r.Val, r.Err
	case <-hold.up():
		return nil, &Pending{After: retryPending}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// retryPending is what a held client is told to wait before it asks again, and is held again.
const retryPending = 5 * time.Second

// A hold is the patience of one request. Its timer starts when somebody first has to wait; once it is up it stays so,
// however often the request waits after.
type hold struct {
	patience time.Duration
	ended    chan struct{}
	timer    *time.Timer
}

func (g *Gate) newHold() *hold { return &hold{patience: g.Hold} }

func (h *hold) up() <-chan struct{} {
	if h.timer == nil {
		h.ended = make(chan struct{})
		h.timer = time.AfterFunc(h.patience, func() { close(h.ended) })
	}
	return h.ended
}

func (h *hold) stop() {
	if h.timer != nil {
		h.timer.Stop()
	}
}

// queues lets a bounded number of admissions work at each upstream, so that a slow one does not hold up the others.
type queues struct {
	width int
	mu    sync.Mutex
	by    map[string]*queue
}

type queue struct {
	slots   chan struct{}
	waiting int // guarded by queues.mu
}

// enter waits for a slot at upstream. The queue is bounded: past maxWaiting it answers ErrBusy at once.
func (q *queues) enter(ctx context.Context, upstream string) (leave func(), err error) {
	q.mu.Lock()
	if q.by == nil {
		q.by = map[string]*queue{}
	}
	at := q.by[upstream]
	if at == nil {
		at = &queue{slots: make(chan struct{}, q.width)}
		q.by[upstream] = at
	}
	if at.waiting >= maxWaiting {
		q.mu.Unlock()
		return nil, ErrBusy
	}
	at.waiting++
	q.mu.Unlock()
	defer func() { q.mu.Lock(); at.waiting--; q.mu.Unlock() }()
	select {
	case at.slots <- struct{}{}:
		return func() { <-at.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// recent remembers for a while that something was tried, for a bounded number of names.
type recent struct {
	mu sync.Mutex
	at map[string]time.Time
}

// maxRecent names are remembered; beyond, all are forgotten at once, which costs one repetition each.
const maxRecent = 4096

// first reports whether name was not tried within the last window, and marks it tried.
func (r *recent) first(name string, now time.Time, window time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.at[name]; ok && now.Sub(at) < window {
		return false
	}
	if r.at == nil || len(r.at) >= maxRecent {
		r.at = map[string]time.Time{}
	}
	r.at[name] = now
	return true
}
