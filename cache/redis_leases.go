package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// fenceKeep is how long the last fence of a lease is kept, to be larger next time even when the server's clock was
	// set back, or a failover moved to one that is behind: far more than clocks differ.
	fenceKeep = time.Hour

	// quiet is how long a subscription may be silent before it is asked for a sign of life, and again as long to give it.
	quiet = 5 * time.Second
)

// The fence is a time, so that it grows over a flush as well. KEYS lease, fence; in one slot by their common {name}.
const (
	// What is there without an end, or with one further away than any lease has, is no lease of ours and holds nobody up.
	takeScript = `
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= 4 * tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local t = redis.call('TIME')
local fence = tonumber(t[1]) * 1000000 + tonumber(t[2])
local last = redis.pcall('GET', KEYS[2])
last = type(last) == 'string' and tonumber(last) or 0
if last >= fence then fence = last + 1 end
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
return string.format('%.0f', fence)`

	renewScript = `
local owner = redis.pcall('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

	dropScript = `
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1`
)

func leaseKey(key string) string { return prefix + "lease:{" + key + "}" }
func fenceKey(key string) string { return prefix + "fence:{" + key + "}" }

// Take is Leases.Take, on the clock of the server.
func (r *RedisBackend) Take(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	keys := []string{leaseKey(key), fenceKey(key)}
	fence, err := r.client.Eval(ctx, takeScript, keys, owner, ttl.Milliseconds(), fenceKeep.Milliseconds()).Uint64()
	if err != nil {
		return 0, fmt.Errorf("taking the lease of %s: %w", key, err)
	}
	if fence == 0 {
		return 0, ErrHeld
	}
	return fence, nil
}

// Renew is Leases.Renew.
func (r *RedisBackend) Renew(ctx context.Context, key, owner string, ttl time.Duration) error {
	n, err := r.client.Eval(ctx, renewScript, []string{leaseKey(key)}, owner, ttl.Milliseconds()).Int()
	if err != nil {
		return fmt.Errorf("renewing the lease of %s: %w", key, err)
	}
	if n == 0 {
		return ErrLost
	}
	return nil
}

// Drop is Leases.Drop.
func (r *RedisBackend) Drop(ctx context.Context, key, owner, notice string) error {
	if err := r.client.Eval(ctx, dropScript, []string{leaseKey(key)}, owner, channel, notice).Err(); err != nil {
		return fmt.Errorf("dropping the lease of %s: %w", key, err)
	}
	return nil
}

// Subscribe listens on one connection of its own.
func (r *RedisBackend) Subscribe(ctx context.Context, joined func(), receive func(string)) error {
	sub := r.client.Subscribe(ctx, channel)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		stop()
		_ = sub.Close()
	}()
	asked := false
	for {
		m, err := sub.ReceiveTimeout(ctx, quiet)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("subscribing: %w", err)
			}
			continue
		default:
			return fmt.Errorf("subscribing: %w", err)
		}
		switch m := m.(type) {
		case *redis.Subscription:
			joined()
		case *redis.Message:
			receive(m.Payload)
		}
	}
}
