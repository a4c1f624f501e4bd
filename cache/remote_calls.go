package cache

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

func (r *remote) get(ctx context.Context, key string) (e Entry, err error) {
	err = r.call(ctx, func(ctx context.Context) error {
		e, err = r.backend.Get(ctx, key)
		return err
	})
	return e, err
}

func (r *remote) members(ctx context.Context, key string) (m map[string][]byte, err error) {
	err = r.call(ctx, func(ctx context.Context) error {
		m, err = r.backend.Members(ctx, key)
		return err
	})
	return m, err
}

// write stores, even when the one who asked for it has left. What cannot be stored now is when Redis is back.
func (r *remote) write(ctx context.Context, writes ...Write) (refused int, err error) {
	if r == nil {
		return 0, errUnavailable
	}
	err = r.call(context.WithoutCancel(ctx), func(ctx context.Context) error {
		refused, err = r.backend.Write(ctx, writes...)
		return err
	})
	if err != nil {
		for _, w := range writes {
			r.unsent.put(w)
		}
		r.unsent.signal()
	}
	return refused, err
}

const (
	// maxUnsent bounds what waits for Redis, in entries and bytes: hours of new images on one replica. What goes beyond
	// is still in the embedded store and reaches Redis when it is asked for.
	maxUnsent      = 20_000
	maxUnsentBytes = 16 << 20
	// sendBatch is how many go in one round trip: few enough to take far less than callTimeout.
	sendBatch      = 100
	sendBatchBytes = 1 << 20
)

// unsent are writes that wait for Redis, the last for each entry. Its zero value is ready.
type unsent struct {
	mu      sync.Mutex
	writes  map[setMember]waiting
	bytes   int
	changed chan struct{}
}

type setMember struct{ key, member string }

type waiting struct {
	Write
	until time.Time
}

func (u *unsent) put(w Write) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.writes == nil {
		u.writes = map[setMember]waiting{}
	}
	at := setMember{w.Key, w.Member}
	old, replaces := u.writes[at]
	if replaces && old.Fence > w.Fence {
		return
	}
	grows := len(w.Value) - len(old.Value)
	if !replaces && len(u.writes) >= maxUnsent || u.bytes+grows > maxUnsentBytes {
		return
	}
	u.writes[at] = waiting{w, time.Now().Add(w.TTL)}
	u.bytes += grows
}

// take removes and returns some, with what is left of their time.
func (u *unsent) take() []Write {
	u.mu.Lock()
	defer u.mu.Unlock()
	var batch []Write
	now, size := time.Now(), 0
	for at, w := range u.writes {
		if len(batch) == sendBatch || size > sendBatchBytes {
			break
		}
		delete(u.writes, at)
		u.bytes -= len(w.Value)
		if w.TTL = w.until.Sub(now); w.TTL > 0 {
			batch = append(batch, w.Write)
			size += len(w.Value)
		}
	}
	return batch
}

// added returns a channel that is ready after a signal.
func (u *unsent) added() <-chan struct{} { return u.channel() }

func (u *unsent) signal() {
	select {
	case u.channel() <- struct{}{}:
	default:
	}
}

func (u *unsent) channel() chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.changed == nil {
		u.changed = make(chan struct{}, 1)
	}
	return u.changed
}

func (u *unsent) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.writes)
}

// The reasons of faults as metrics name them, and what to do about each.
var faults = []struct{ reason, sign, advice string }{
	{"read_only", "READONLY", "Redis is a replica: name the master, or its Sentinels and cache.redis.sentinelMaster"},
	{"out_of_memory", "OOM ", "Redis is full: give it more memory, or set maxmemory-policy to volatile-lru"},
	{"authentication", "NOAUTH", "set cache.redis.passwordFile, and username for an ACL user"},
	{"authentication", "WRONGPASS", "the username or the content of cache.redis.passwordFile is wrong"},
	{"permission", "NOPERM", "the ACL user lacks a right; the package documentation of RedisBackend lists them"},
	{"loading", "LOADING", "Redis reads its data; it will be used when it is ready"},
	{"moved", "MOVED", "Redis is a Cluster: list several of its nodes in cache.redis.addresses"},
	{"moved", "CLUSTERDOWN", "the Cluster does not serve all slots"},
	{"no_cluster", "cluster support disabled", "several addresses name a Cluster: list one, or set cache.redis.sentinelMaster"},
}

func classify(err error) (reason, advice string) {
	var timeout net.Error
	text := ""
	if err != nil {
		text = err.Error()
	}
	for _, f := range faults {
		if strings.Contains(text, f.sign) {
			return f.reason, f.advice
		}
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused", "check that Redis runs at cache.redis.addresses"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout", "Redis is too slow or hangs; check its load and the way to it"
	}
	return "other", "check Redis at cache.redis.addresses"
}

func advice(err error) string {
	_, a := classify(err)
	return a
}
