package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/policy"
)

// maxBackground bounds the refreshes and refills that run at a time; one more is left out and comes with the next lookup.
const maxBackground = 16

// A Cache remembers. It is safe for concurrent use; none of its lookups and puts fails: what cannot be read is a miss.
type Cache struct {
	opts     Options
	id       string // of this process among the replicas
	log      *zap.Logger
	sealer   sealer
	metrics  *metrics
	embedded *EmbeddedBackend
	redis    *remote // nil without Redis
	released hub     // keys of leases that were given back anywhere

	verdicts     *table[policy.VerdictKey, *policy.Verdict]
	resolutions  *table[string, policy.Resolution]
	seen         *table[repositoryDigest, time.Time]
	explanations *table[string, *policy.Verdict]
	grants       *memory[repositoryDigest, []policy.Grant]

	cancel  context.CancelFunc
	closing <-chan struct{}
	ended   sync.WaitGroup
	slots   chan struct{}
	mu      sync.RWMutex // guards closed, so that no work starts after Close waits for it
	closed  bool
}

// Open opens the embedded store and, in the background, the way to Redis: it does not wait for Redis. The cache works
// until Close, whatever becomes of ctx.
func Open(ctx context.Context, opts Options) (*Cache, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	opts = opts.withDefaults()
	// First what only reads: a start that is refused leaves nothing behind.
	if opts.Redis.configured() || opts.MACKeyFile != "" {
		if _, err := macKey(opts); err != nil {
			return nil, err
		}
	}
	embedded, err := OpenEmbedded(opts.Path, opts.MaxSize, opts.Log)
	if err != nil {
		return nil, err
	}
	c, err := open(opts, embedded)
	if err != nil {
		return nil, errors.Join(err, embedded.Close())
	}
	return c, nil
}

func open(opts Options, embedded *EmbeddedBackend) (*Cache, error) {
	// The lock on the embedded file is held by now, so no other process makes the key at the same time.
	key, err := macKey(opts)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		opts: opts, id: newID(), log: opts.Log, sealer: sealer{key}, metrics: newMetrics(),
		embedded: embedded, slots: make(chan struct{}, maxBackground),
	}
	c.makeTables()
	if opts.Redis.configured() {
		backend, err := OpenRedis(opts.Redis, opts.Log)
		if err != nil {
			return nil, err
		}
		c.redis = newRemote(backend, c.id, opts.Log, c.metrics)
	}
	if err := c.metrics.register(opts.Registerer, c); err != nil {
		if c.redis != nil {
			err = errors.Join(err, c.redis.backend.Close())
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.closing = cancel, ctx.Done()
	if c.redis != nil {
		c.ended.Go(func() { c.redis.run(ctx) })
		c.ended.Go(func() { c.listen(ctx) })
	}
	return c, nil
}

// makeTables divides memory by what a warm pull looks up: a verdict per manifest, a grant per layer.
func (c *Cache) makeTables() {
	n, b, stale := c.opts.MaxEntries, c.opts.MaxBytes, time.Duration(0)
	if c.opts.Redis.configured() {
		stale = c.opts.LocalTTL
	}
	c.verdicts = &table[policy.VerdictKey, *policy.Verdict]{
		c: c, kind: kindVerdict, memory: newMemory[policy.VerdictKey, *policy.Verdict](n/4, b/2, stale),
		key: verdictKey, notice: func(k policy.VerdictKey) notice { return notice{kindVerdict, k.Digest, k.Scope, k.Revision} },
		encode: func(v *policy.Verdict) ([]byte, error) { return json.Marshal(v) }, decode: decodeVerdict, timed: true,
	}
	c.explanations = &table[string, *policy.Verdict]{
		c: c, kind: kindExplanation, memory: newMemory[string, *policy.Verdict](n/32, b/16, stale),
		key: explanationKey, notice: func(id string) notice { return notice{kind: kindExplanation, a: id} },
		encode: func(v *policy.Verdict) ([]byte, error) { return json.Marshal(v) }, decode: decodeExplanation, timed: true,
	}
	c.resolutions = &table[string, policy.Resolution]{
		c: c, kind: kindResolution, memory: newMemory[string, policy.Resolution](n/8, b/8, stale),
		key: resolutionKey, notice: func(tag string) notice { return notice{kind: kindResolution, a: tag} },
		encode: func(r policy.Resolution) ([]byte, error) { return json.Marshal(r) }, decode: decodeResolution, timed: true,
	}
	c.seen = &table[repositoryDigest, time.Time]{
		c: c, kind: kindSeen, memory: newMemory[repositoryDigest, time.Time](n/8, b/8, stale),
		key: seenKey, notice: func(k repositoryDigest) notice { return notice{kind: kindSeen, a: k.repository, b: k.digest} },
		encode: encodeSeen, decode: decodeSeen,
	}
	c.grants = newMemory[repositoryDigest, []policy.Grant](n/2, b/4, stale)
}

// Close writes what is still to be written and ends all background work. Leases that are held then run out.
func (c *Cache) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if was {
		return nil
	}
	c.cancel()
	c.ended.Wait()
	c.metrics.unregister(c.opts.Registerer)
	err := c.embedded.Close()
	if c.redis != nil {
		err = errors.Join(err, c.redis.backend.Close())
	}
	if err != nil {
		return fmt.Errorf("closing the cache: %w", err)
	}
	return nil
}

// background runs f apart from the caller, if there is room.
func (c *Cache) background(f func()) {
	select {
	case c.slots <- struct{}{}:
	default:
		return
	}
	started := c.start(func() {
		defer func() { <-c.slots }()
		f()
	})
	if !started {
		<-c.slots
	}
}

// start runs f apart from the caller, unless the cache is closed. Close waits for it.
func (c *Cache) start(f func()) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return false
	}
	c.ended.Go(f)
	return true
}

// keepLocally copies to the embedded store what came from Redis.
func (c *Cache) keepLocally(writes ...Write) {
	for i := range writes {
		writes[i].Notice = ""
	}
	// A refusal means that this process knows something newer; a fault is in Status.
	_, _ = c.embedded.Write(context.Background(), writes...)
}

// Status reports how the cache is.
func (c *Cache) Status() Status {
	var s Status
	s.Redis, s.Since, s.Reason = c.redis.status()
	if c.redis != nil {
		s.Unsent = c.redis.unsent.len()
	}
	fault, dropped := c.embedded.state()
	s.Dropped = dropped
	if fault != nil {
		s.Embedded = fault.Error()
	}
	for _, usage := range []func() (int, int64){
		c.verdicts.memory.usage, c.explanations.memory.usage, c.resolutions.memory.usage, c.seen.memory.usage, c.grants.usage,
	} {
		n, b := usage()
		s.Entries, s.Bytes = s.Entries+n, s.Bytes+b
	}
	return s
}
