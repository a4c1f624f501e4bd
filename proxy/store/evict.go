package store

import (
	"context"
	"os"
	"time"

	"go.uber.org/zap"
)

const (
	// saveInterval is how much knowledge of what was used when a crash may cost.
	saveInterval = time.Minute
	// countInterval is how often a shared object store is counted again: other replicas add and evict as well.
	countInterval = time.Hour
	// lowWater is the part of MaxSize that eviction leaves, in tenths: enough room that it does not run for every
	// object that comes.
	lowWater = 9
)

// maintain counts what is held, and then keeps it within MaxSize until the store is closed.
func (s *Store) maintain(ctx context.Context) {
	if s.disk != nil {
		if err := s.disk.leftovers(ctx, func(path string, _ int64) { _ = os.Remove(path) }); err != nil && ctx.Err() == nil {
			s.log.Warn("spool files of an earlier process stay", zap.Error(err))
		}
	}
	s.count(ctx)
	save, count := time.NewTicker(saveInterval), time.NewTicker(countInterval)
	defer save.Stop()
	defer count.Stop()
	for {
		s.evict(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.evictNow:
		case <-save.C:
			s.saveAccess()
		case <-count.C:
			if s.disk == nil {
				s.count(ctx)
			}
		}
	}
}

// count takes what storage holds into the index. Without a bound on an object store nobody needs to know.
func (s *Store) count(ctx context.Context) {
	if s.disk == nil && s.opts.MaxSize == 0 {
		return
	}
	held := map[string]bool{}
	begun := time.Now().UnixNano()
	err := s.scan(ctx, func(o found) {
		held[o.addr.text] = true
		s.index.counted(o.addr.text, o.size, o.used)
	})
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("eviction knows only a part of what is stored", zap.Error(err))
		}
		return
	}
	// What another replica removed in the meantime.
	for _, c := range s.index.candidates() {
		if !held[c.digest] && c.stored < begun && c.seen < begun {
			s.index.remove(c.digest)
		}
	}
}

// wakeEviction asks the background to look at the size.
func (s *Store) wakeEviction() {
	if s.opts.MaxSize <= 0 || s.index.total.Load() <= s.opts.MaxSize {
		return
	}
	select {
	case s.evictNow <- struct{}{}:
	default: // it is awake
	}
}

// evict brings the store within its size, if it is above.
func (s *Store) evict(ctx context.Context) {
	total := s.index.total.Load()
	if s.opts.MaxSize <= 0 || total <= s.opts.MaxSize {
		return
	}
	s.drop(ctx, total-s.opts.MaxSize/10*lowWater, false)
}

// reclaim frees at least need bytes of a full disk, if there are as many to free, and returns how many it freed.
// Object stores are not full.
func (s *Store) reclaim(ctx context.Context, need int64) int64 {
	if s.disk == nil {
		return 0
	}
	return s.drop(ctx, need, true)
}

// drop removes objects, the least used first, until need bytes are free. The object used last stays unless even that
// is asked for: whoever stored it is about to read it. On object stores nothing goes that a replica may be using.
func (s *Store) drop(ctx context.Context, need int64, last bool) (freed int64) {
	s.evicting.Lock()
	defer s.evicting.Unlock()
	list := s.index.candidates()
	var newest int64
	for _, c := range list {
		newest = max(newest, c.seen)
	}
	young := time.Now().Add(-s.opts.Grace).UnixNano()
	for _, c := range list {
		if freed >= need || ctx.Err() != nil {
			break
		}
		if c.seen == newest && !last || s.disk == nil && (c.seen > young || c.stored > young) {
			continue
		}
		addr, err := parseAddress(c.digest)
		if err != nil {
			continue
		}
		if err := s.remove(ctx, addr); err != nil {
			s.log.Warn("an object could not be evicted", zap.String("digest", c.digest), zap.Error(err))
			continue
		}
		freed += c.size
		s.metrics.evicted.Inc()
		s.metrics.evictedBytes.Add(float64(c.size))
	}
	return freed
}

// saveAccess writes down when objects were last used. On object stores that is in memory only.
func (s *Store) saveAccess() {
	if s.disk == nil {
		return
	}
	s.index.unsaved(func(digest string, used time.Time) error {
		addr, err := parseAddress(digest)
		if err == nil {
			err = s.disk.touch(addr, used)
		}
		return err
	})
}
