package cache

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shards is how many parts of the memory tier have a lock of their own: several times the cores of a usual replica.
const shards = 16

// itemOverhead is what an entry costs beside its value and name, in bytes: list element, map slot, item.
const itemOverhead = 256

// claim is how long the one that refreshes an entry has before another tries.
const claim = time.Second

// memory is the first tier: decoded values, bounded in number and bytes. A hit allocates nothing.
type memory[K comparable, V any] struct {
	seed   maphash.Seed
	fresh  time.Duration // after which an entry is refreshed in the background; 0 = never
	stale  time.Duration // after which it is no longer used; 0 = never
	shards [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[K, *item[V]]
	bytes    int64
	maxBytes int64
	changes  uint64 // removals so far, so that a value read before one is not filled in after it
}

type item[V any] struct {
	value   V
	size    int64
	refresh time.Time // zero = never
	end     time.Time // zero = never
}

func newMemory[K comparable, V any](entries int, bytes int64, stale time.Duration) *memory[K, V] {
	m := &memory[K, V]{seed: maphash.MakeSeed(), fresh: stale / 2, stale: stale}
	for i := range m.shards {
		s := &m.shards[i]
		s.maxBytes = max(bytes/shards, 1)
		// The constructor refuses a size below one, and nothing else.
		s.lru, _ = simplelru.NewLRU(max(entries/shards, 1), func(_ K, it *item[V]) { s.bytes -= it.size })
	}
	return m
}

func (m *memory[K, V]) shard(k K) *shard[K, V] {
	return &m.shards[maphash.Comparable(m.seed, k)%shards]
}

// get returns the value of k. To one of the callers after an entry has aged it says refresh.
func (m *memory[K, V]) get(k K, now time.Time) (v V, refresh, ok bool) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.lru.Get(k)
	if !ok {
		return v, false, false
	}
	if !it.end.IsZero() && !now.Before(it.end) {
		return v, false, false
	}
	if !it.refresh.IsZero() && now.After(it.refresh) {
		it.refresh = now.Add(claim)
		refresh = true
	}
	return it.value, refresh, true
}

// changes returns a mark of now for fill.
func (m *memory[K, V]) changes(k K) uint64 {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// fill keeps v, of size bytes and ending at end, unless something in its shard was removed since mark: the notice that
// removed it may have been about v.
func (m *memory[K, V]) fill(k K, v V, size int64, end, now time.Time, mark uint64) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == mark {
		s.add(k, m.item(v, size, end, now))
	}
}

// put keeps v whatever happened before.
func (m *memory[K, V]) put(k K, v V, size int64, end, now time.Time) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.add(k, m.item(v, size, end, now))
}

func (m *memory[K, V]) item(v V, size int64, end, now time.Time) *item[V] {
	it := &item[V]{value: v, size: size + itemOverhead, end: end}
	if m.stale > 0 {
		it.refresh = now.Add(m.fresh)
		if local := now.Add(m.stale); end.IsZero() || local.Before(end) {
			it.end = local
		}
	}
	return it
}

func (s *shard[K, V]) add(k K, it *item[V]) {
	if it.size > s.maxBytes {
		s.lru.Remove(k)
		return
	}
	s.bytes += it.size
	s.lru.Add(k, it) // takes off what it evicts or replaces
	for s.bytes > s.maxBytes {
		s.lru.RemoveOldest()
	}
}

func (m *memory[K, V]) remove(k K) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.lru.Remove(k)
}

func (m *memory[K, V]) purge() {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.changes++
		s.lru.Purge()
		s.mu.Unlock()
	}
}

func (m *memory[K, V]) usage() (entries int, bytes int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		entries += s.lru.Len()
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
