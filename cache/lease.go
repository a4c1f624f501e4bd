package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// leasePoll is how often one who waits for a lease asks for it, in case the message of its release was lost or its holder
// died.
const leasePoll = 500 * time.Millisecond

// Acquire waits until the lease of key is ours or ctx ends. One replica has it at a time, and one caller in this process;
// a holder that dies loses it within LeaseTTL. With Redis unavailable it is a lease of this process only. The fence is
// larger than that of every earlier holder: what is put under an older one is refused. release may be called more than
// once; the lease is renewed until then.
func (c *Cache) Acquire(ctx context.Context, key string) (release func(), fence uint64, err error) {
	owner := newID()
	local, err := c.await(ctx, key, func() (uint64, error) { return c.embedded.Take(ctx, key, owner, c.opts.LeaseTTL) })
	if err != nil {
		return nil, 0, fmt.Errorf("waiting for the lease of %s: %w", key, err)
	}
	shared, err := c.await(ctx, key, func() (fence uint64, err error) {
		err = c.redis.call(ctx, func(ctx context.Context) error {
			fence, err = c.redis.backend.Take(ctx, key, owner, c.opts.LeaseTTL)
			return err
		})
		return fence, err
	})
	switch {
	case err == nil:
		fence = shared
		c.metrics.leases.WithLabelValues("shared").Inc()
	case errors.Is(err, errUnavailable):
		fence = local
		c.metrics.leases.WithLabelValues("local").Inc()
	default:
		c.giveBack(key, owner, false)
		return nil, 0, fmt.Errorf("waiting for the lease of %s: %w", key, err)
	}
	return c.hold(key, owner, err == nil), fence, nil
}

// await calls take until its answer is not ErrHeld, when the lease was given back and now and then.
func (c *Cache) await(ctx context.Context, key string, take func() (uint64, error)) (uint64, error) {
	fence, err := take()
	if !errors.Is(err, ErrHeld) {
		return fence, err
	}
	free := make(chan struct{}, 1)
	leave := c.released.join(func(released string) {
		if released == key {
			select {
			case free <- struct{}{}:
			default:
			}
		}
	})
	defer leave()
	poll := time.NewTicker(leasePoll*3/4 + rand.N(leasePoll/2))
	defer poll.Stop()
	for {
		// Asked again after having joined: it may have been given back in between.
		if fence, err = take(); !errors.Is(err, ErrHeld) {
			return fence, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-free:
		case <-poll.C:
		}
	}
}

// hold renews the lease until release is called or the cache is closed.
func (c *Cache) hold(key, owner string, shared bool) (release func()) {
	done := make(chan struct{})
	var once sync.Once
	started := c.start(func() {
		renew := time.NewTicker(c.opts.LeaseTTL / 3)
		defer renew.Stop()
		for {
			select {
			case <-done:
				c.giveBack(key, owner, shared)
				return
			case <-c.closing:
				return
			case <-renew.C:
				c.renew(key, owner, shared)
			}
		}
	})
	if !started {
		c.giveBack(key, owner, shared)
	}
	return func() { once.Do(func() { close(done) }) }
}

// renew extends the lease. A lost one is not told to its holder: what it puts is refused by its fence.
func (c *Cache) renew(key, owner string, shared bool) {
	ctx := context.Background()
	_ = c.embedded.Renew(ctx, key, owner, c.opts.LeaseTTL)
	if shared {
		_ = c.redis.call(ctx, func(ctx context.Context) error {
			return c.redis.backend.Renew(ctx, key, owner, c.opts.LeaseTTL)
		})
	}
}

// giveBack frees the lease for other replicas and then for this process.
func (c *Cache) giveBack(key, owner string, shared bool) {
	ctx := context.Background()
	if shared {
		_ = c.redis.call(ctx, func(ctx context.Context) error {
			return c.redis.backend.Drop(ctx, key, owner, c.releaseMessage(key))
		})
	}
	_ = c.embedded.Drop(ctx, key, owner, "")
	c.released.publish(key)
}
