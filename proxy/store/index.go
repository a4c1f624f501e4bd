package store

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// unknownSize marks an object that was used before it was counted.
const unknownSize = -1

// smallObject is the size up to which an object is probably a manifest or a config: they are evicted last, since a
// pull needs them first and they take no room.
const smallObject = 64 << 10

// An index knows what the store holds, how large it is and when it was last used. It is a memory of the storage,
// never its truth: what it says is missing may be there, and the other way round.
type index struct {
	mu      sync.RWMutex
	entries map[string]*entry
	total   atomic.Int64 // bytes of all entries of known size
}

type entry struct {
	size   atomic.Int64 // unknownSize until counted
	seen   atomic.Int64 // last use, Unix nanoseconds
	saved  atomic.Int64 // the last use that storage knows of
	stored atomic.Int64 // when it was stored; 0 when unknown
	held   atomic.Int32 // readers that eviction must wait for
}

func newIndex() *index { return &index{entries: map[string]*entry{}} }

func (x *index) find(digest string) *entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries[digest]
}

func (x *index) findOrAdd(digest string) *entry {
	if e := x.find(digest); e != nil {
		return e
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entries[digest]
	if e == nil {
		e = &entry{}
		e.size.Store(unknownSize)
		x.entries[digest] = e
	}
	return e
}

// used notes that an object is used now, if it is known.
func (x *index) used(digest string) {
	if e := x.find(digest); e != nil {
		e.seen.Store(time.Now().UnixNano())
	}
}

// usedSize notes the use of an object that was found to have this size.
func (x *index) usedSize(digest string, size int64) {
	e := x.findOrAdd(digest)
	e.seen.Store(time.Now().UnixNano())
	x.sized(e, size)
}

// sized gives an entry its size once; later calls change nothing.
func (x *index) sized(e *entry, size int64) {
	if e.size.CompareAndSwap(unknownSize, size) {
		x.total.Add(size)
	}
}

// added notes a new object, or a better copy of a known one.
func (x *index) added(digest string, size int64) {
	now := time.Now().UnixNano()
	e := x.findOrAdd(digest)
	e.seen.Store(now)
	e.stored.Store(now)
	if old := e.size.Swap(size); old != unknownSize {
		x.total.Add(-old)
	}
	x.total.Add(size)
}

// counted notes an object that a scan met. What is known of it already is newer.
func (x *index) counted(digest string, size int64, used time.Time) {
	e := x.findOrAdd(digest)
	x.sized(e, size)
	e.stored.CompareAndSwap(0, used.UnixNano())
	if e.seen.CompareAndSwap(0, used.UnixNano()) {
		e.saved.Store(used.UnixNano())
	}
}

func (x *index) remove(digest string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entries[digest]
	if e == nil {
		return
	}
	delete(x.entries, digest)
	if size := e.size.Load(); size != unknownSize {
		x.total.Add(-size)
	}
}

// size returns the size of an object, or unknownSize.
func (x *index) size(digest string) int64 {
	if e := x.find(digest); e != nil {
		return e.size.Load()
	}
	return unknownSize
}

// hold keeps an object from eviction by this process until release.
func (x *index) hold(digest string) *entry {
	e := x.findOrAdd(digest)
	e.held.Add(1)
	e.seen.Store(time.Now().UnixNano())
	return e
}

func (x *index) release(e *entry) { e.held.Add(-1) }

func (x *index) count() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries)
}

// A candidate is an object that may be evicted, as it was when it was listed.
type candidate struct {
	digest string
	size   int64
	seen   int64
	stored int64
}

// candidates lists what is held, in the order in which it should go: large before small, and within each the one
// that was not used for longest.
func (x *index) candidates() []candidate {
	x.mu.RLock()
	list := make([]candidate, 0, len(x.entries))
	for digest, e := range x.entries {
		if size := e.size.Load(); size != unknownSize && e.held.Load() == 0 {
			list = append(list, candidate{digest: digest, size: size, seen: e.seen.Load(), stored: e.stored.Load()})
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(list, func(a, b candidate) int {
		if smallA, smallB := a.size <= smallObject, b.size <= smallObject; smallA != smallB {
			if smallA {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(a.digest, b.digest))
	})
	return list
}

// unsaved calls save for each object whose last use storage does not know of.
func (x *index) unsaved(save func(digest string, used time.Time) error) {
	type use struct {
		digest string
		entry  *entry
	}
	var uses []use
	x.mu.RLock()
	for digest, e := range x.entries {
		if e.seen.Load() > e.saved.Load() {
			uses = append(uses, use{digest, e})
		}
	}
	x.mu.RUnlock()
	for _, u := range uses {
		seen := u.entry.seen.Load()
		if save(u.digest, time.Unix(0, seen)) == nil {
			u.entry.saved.Store(seen)
		}
	}
}
