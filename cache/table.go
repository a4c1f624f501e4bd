package cache

import (
	"context"
	"errors"
	"time"
)

// maxSkew is how far ahead the clock of another replica may be. What is dated later is not believed: it would keep
// everything that is newer from being remembered.
const maxSkew = 5 * time.Minute

// table is one kind of single values over the three tiers.
type table[K comparable, V any] struct {
	c      *Cache
	kind   kind
	memory *memory[K, V]
	key    func(K) string
	notice func(K) notice
	encode func(V) ([]byte, error)
	decode func(K, []byte) (V, error) // refuses what does not belong to K
	timed  bool                       // the fence is a time, which cannot be in the future
}

// found is an entry as it came out of a tier, verified.
type found[V any] struct {
	value   V
	sealed  []byte
	fence   uint64
	expires time.Time
}

// get asks memory, then Redis, then the embedded store.
func (t *table[K, V]) get(ctx context.Context, k K) (V, bool) {
	v, refresh, ok := t.memory.get(k, time.Now())
	if !ok {
		return t.load(ctx, k)
	}
	t.c.metrics.lookups[t.kind][inMemory].Inc()
	if refresh {
		t.refresh(ctx, k)
	}
	return v, true
}

// refresh stands apart since its closure would make every get allocate.
func (t *table[K, V]) refresh(ctx context.Context, k K) {
	ctx = context.WithoutCancel(ctx)
	t.c.background(func() { t.load(ctx, k) })
}

// load asks the tiers behind memory, and brings what it finds to those that lack it. Where both know k, the newer wins:
// Redis may have lost its last writes, and this process may have been cut off from it.
func (t *table[K, V]) load(ctx context.Context, k K) (V, bool) {
	mark := t.memory.changes(k)
	shared, sharedErr := t.shared(ctx, k)
	local, localErr := t.local(ctx, k)
	f, tier := shared, inRedis
	switch {
	case sharedErr != nil && localErr != nil:
		t.c.metrics.lookups[t.kind][nowhere].Inc()
		return f.value, false
	case sharedErr != nil || localErr == nil && local.fence > shared.fence:
		f, tier = local, inEmbedded
		if !errors.Is(sharedErr, errUnavailable) && ctx.Err() == nil {
			t.refill(ctx, t.write(k, f), sharedErr)
		}
	case localErr != nil || local.fence < shared.fence:
		t.c.keepLocally(t.write(k, f))
	}
	t.c.metrics.lookups[t.kind][tier].Inc()
	t.memory.fill(k, f.value, int64(2*len(f.sealed)), f.expires, time.Now(), mark)
	return f.value, true
}

// refill brings back to Redis what it lost, or holds in a form that does not verify.
func (t *table[K, V]) refill(ctx context.Context, w Write, why error) {
	w.Notice, w.Replace = "", errors.Is(why, errSeal)
	ctx = context.WithoutCancel(ctx)
	t.c.background(func() { _, _ = t.c.redis.write(ctx, w) })
}

func (t *table[K, V]) shared(ctx context.Context, k K) (found[V], error) {
	key := t.key(k)
	e, err := t.c.redis.get(ctx, key)
	if err != nil {
		return found[V]{}, err
	}
	f, err := t.verify(k, key, e)
	t.c.metrics.badSeal(t.kind, inRedis, err)
	return f, err
}

func (t *table[K, V]) local(ctx context.Context, k K) (found[V], error) {
	key := t.key(k)
	e, err := t.c.embedded.Get(ctx, key)
	if err != nil {
		return found[V]{}, err
	}
	f, err := t.verify(k, key, e)
	t.c.metrics.badSeal(t.kind, inEmbedded, err)
	return f, err
}

// verify opens an entry. What it refuses is as good as absent.
func (t *table[K, V]) verify(k K, key string, e Entry) (found[V], error) {
	now := time.Now()
	payload, expires, err := t.c.sealer.open(name{key: key, fence: e.Fence}, e.Value, now)
	if err != nil {
		return found[V]{}, err
	}
	if t.timed && e.Fence > uint64(now.Add(maxSkew).UnixMicro()) {
		return found[V]{}, errSeal
	}
	v, err := t.decode(k, payload)
	if err != nil {
		return found[V]{}, errors.Join(errSeal, err)
	}
	return found[V]{value: v, sealed: e.Value, fence: e.Fence, expires: expires}, nil
}

func (t *table[K, V]) write(k K, f found[V]) Write {
	return Write{
		Key: t.key(k), Value: f.sealed, TTL: time.Until(f.expires), Fence: f.fence,
		Notice: t.c.message(t.notice(k)),
	}
}

// put remembers v under fence for keep, in all tiers. It reports whether it did: not when a newer value is remembered.
func (t *table[K, V]) put(ctx context.Context, k K, v V, fence uint64, keep time.Duration) bool {
	payload, err := t.encode(v)
	if err != nil || keep <= 0 {
		return false
	}
	now := time.Now()
	key, expires := t.key(k), now.Add(keep)
	f := found[V]{value: v, sealed: t.c.sealer.seal(name{key: key, fence: fence}, expires, payload), fence: fence, expires: expires}
	if len(f.sealed) > MaxValue {
		t.memory.put(k, v, int64(2*len(f.sealed)), expires, now)
		return true
	}
	w := t.write(k, f)
	shared := func() error { _, err := t.shared(ctx, k); return err }
	local := func() error { _, err := t.local(ctx, k); return err }
	if !writeNewest(ctx, w, t.c.redis.write, shared) || !writeNewest(ctx, w, t.c.embedded.Write, local) {
		t.memory.remove(k)
		t.c.metrics.refused.WithLabelValues(t.kind.String()).Inc()
		return false
	}
	t.memory.put(k, v, int64(2*len(f.sealed)), expires, now)
	return true
}

// writeNewest writes w unless something newer is there that verifies. A fault of the tier is no refusal.
func writeNewest(ctx context.Context, w Write, write func(context.Context, ...Write) (int, error), there func() error) bool {
	refused, err := write(ctx, w)
	if err != nil || refused == 0 {
		return true
	}
	if there() == nil {
		return false
	}
	w.Replace = true
	_, _ = write(ctx, w) // what goes wrong now went wrong with the tier, which says so itself
	return true
}
