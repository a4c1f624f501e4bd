package cache

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// leases are leases within one process. Their zero value is ready.
type leases struct {
	mu   sync.Mutex
	held map[string]held
	last uint64 // fence
}

type held struct {
	owner string
	until time.Time
}

func (l *leases) take(key, owner string, ttl time.Duration) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if h, ok := l.held[key]; ok && now.Before(h.until) {
		return 0, ErrHeld
	}
	if l.held == nil {
		l.held = map[string]held{}
	}
	l.held[key] = held{owner, now.Add(ttl)}
	l.last = max(l.last+1, uint64(now.UnixMicro()))
	return l.last, nil
}

func (l *leases) renew(key, owner string, ttl time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.held[key]; ok && h.owner != owner && time.Now().Before(h.until) {
		return ErrLost
	}
	if l.held == nil {
		l.held = map[string]held{}
	}
	l.held[key] = held{owner, time.Now().Add(ttl)}
	return nil
}

func (l *leases) drop(key, owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key].owner == owner {
		delete(l.held, key)
	}
}

// Take is Leases.Take.
func (e *EmbeddedBackend) Take(_ context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	return e.leases.take(key, owner, ttl)
}

// Renew is Leases.Renew.
func (e *EmbeddedBackend) Renew(_ context.Context, key, owner string, ttl time.Duration) error {
	return e.leases.renew(key, owner, ttl)
}

// Drop is Leases.Drop.
func (e *EmbeddedBackend) Drop(_ context.Context, key, owner, notice string) error {
	e.leases.drop(key, owner)
	if notice != "" {
		e.publish(notice)
	}
	return nil
}

// Subscribe is Notices.Subscribe, for subscribers in this process.
func (e *EmbeddedBackend) Subscribe(ctx context.Context, joined func(), receive func(string)) error {
	leave := e.join(receive)
	defer leave()
	joined()
	<-ctx.Done()
	return ctx.Err()
}

// hub hands messages to whoever joined. Its zero value is ready.
type hub struct {
	mu      sync.Mutex
	next    int
	members map[int]func(string)
}

func (h *hub) join(receive func(string)) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members == nil {
		h.members = map[int]func(string){}
	}
	id := h.next
	h.next++
	h.members[id] = receive
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.members, id)
	}
}

func (h *hub) publish(message string) {
	h.mu.Lock()
	members := slices.Collect(maps.Values(h.members))
	h.mu.Unlock()
	for _, receive := range members {
		receive(message)
	}
}
