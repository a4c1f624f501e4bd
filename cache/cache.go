package cache

import (
	"context"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

// A Cache remembers. It is safe for concurrent use; none of its lookups and puts fails: what cannot be read is a miss.
type Cache struct{}

// Open opens the embedded store and, in the background, the way to Redis: it does not wait for Redis.
func Open(ctx context.Context, opts Options) (*Cache, error) { return &Cache{}, nil }

// Close writes what is still to be written and ends all background work.
func (c *Cache) Close() error { return nil }

// Verdict returns the remembered verdict of that name. The caller asks it whether it still holds.
func (c *Cache) Verdict(ctx context.Context, key policy.VerdictKey) (*policy.Verdict, bool) {
	return nil, false
}

// PutVerdict remembers v, made under the lease that gave fence.
func (c *Cache) PutVerdict(ctx context.Context, v *policy.Verdict, fence uint64) {}

// Resolution returns what the tag named upstream/repository:tag last led to.
func (c *Cache) Resolution(ctx context.Context, name string) (policy.Resolution, bool) {
	return policy.Resolution{}, false
}

// PutResolution remembers for keep what the tag of that name leads to.
func (c *Cache) PutResolution(ctx context.Context, name string, r policy.Resolution, keep time.Duration) {
}

// Grants returns who gives repository the right to serve digest.
func (c *Cache) Grants(ctx context.Context, repository, digest string) []policy.Grant { return nil }

// PutGrants remembers grants for repository, by granted digest.
func (c *Cache) PutGrants(ctx context.Context, repository string, grants map[string]policy.Grant) {}

// FirstSeen returns when digest was first seen in repository: now, if it never was.
func (c *Cache) FirstSeen(ctx context.Context, repository, digest string, now time.Time) time.Time {
	return now
}

// Acquire waits until the lease of key is ours or ctx ends.
func (c *Cache) Acquire(ctx context.Context, key string) (release func(), fence uint64, err error) {
	return func() {}, 0, nil
}

// Status reports how the cache is.
func (c *Cache) Status() Status { return Status{} }
