package store

import (
	"sync"
	"sync/atomic"
)

// hotObjects keeps small objects in memory, bounded in bytes. It approximates LRU by a clock (second chance), so that
// a hit takes a shared lock and sets one bit.
type hotObjects struct {
	limit int64

	mu    sync.RWMutex
	held  map[string]*hotObject
	ring  []*hotObject // in the order of the clock's hand
	hand  int
	bytes int64
}

type hotObject struct {
	digest string
	data   []byte
	used   atomic.Bool
}

// hotShare is the part of the memory that one object may take: more would push everything else out.
const hotShare = 4

func newHotObjects(limit int64) *hotObjects {
	return &hotObjects{limit: limit, held: map[string]*hotObject{}}
}

// get returns the shared bytes of an object, which nobody may change; nil when it is not held.
func (h *hotObjects) get(digest string) []byte {
	h.mu.RLock()
	o := h.held[digest]
	h.mu.RUnlock()
	if o == nil {
		return nil
	}
	if !o.used.Load() {
		o.used.Store(true)
	}
	return o.data
}

// put keeps an object, and forgets others that were not used since the hand last passed. It keeps data itself.
func (h *hotObjects) put(digest string, data []byte) bool {
	if int64(len(data)) > h.limit/hotShare {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[digest] != nil {
		return true
	}
	for h.bytes+int64(len(data)) > h.limit && len(h.ring) > 0 {
		h.hand %= len(h.ring)
		if o := h.ring[h.hand]; o.used.Swap(false) {
			h.hand++
			continue
		}
		h.dropAt(h.hand)
	}
	o := &hotObject{digest: digest, data: data}
	h.held[digest] = o
	h.ring = append(h.ring, o)
	h.bytes += int64(len(data))
	return true
}

func (h *hotObjects) remove(digest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.held[digest]
	if o == nil {
		return
	}
	for i := range h.ring {
		if h.ring[i] == o {
			h.dropAt(i)
			return
		}
	}
}

// dropAt takes the last of the ring into the place of the one that goes.
func (h *hotObjects) dropAt(i int) {
	o := h.ring[i]
	last := len(h.ring) - 1
	h.ring[i], h.ring[last] = h.ring[last], nil
	h.ring = h.ring[:last]
	delete(h.held, o.digest)
	h.bytes -= int64(len(o.data))
}
