package cache

import (
	"bytes"
	"maps"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"
)

const (
	// sweepBatch bounds one transaction of a sweep, so that reads of the same pages and flushes do not wait for it.
	sweepBatch = 2000

	// sweepAgain is how long a file that is still too large after a sweep is left alone.
	sweepAgain = 5 * time.Second

	// evictShare of the file is emptied at a time when it is full: often enough to stay below, seldom enough to be cheap.
	evictShare = 8
)

// flush writes what waits in one transaction, hence one fsync. Only run calls it, and Close when run has ended.
func (e *EmbeddedBackend) flush() (wrote bool) {
	e.mu.RLock()
	batch := maps.Clone(e.unwritten)
	e.mu.RUnlock()
	if len(batch) == 0 {
		return false
	}
	err := e.within("writing", func(db *bolt.DB) error {
		return db.Update(func(tx *bolt.Tx) error { return putAll(tx.Bucket(values), batch) })
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report(err)
	if err != nil && e.bytes < maxUnwritten {
		return false // kept, and tried again with the next
	}
	for k, r := range batch {
		if now, ok := e.unwritten[k]; ok && now.fence == r.fence && now.expires.Equal(r.expires) {
			e.forget(k)
			if err != nil {
				e.dropped++
			}
		}
	}
	return err == nil
}

func putAll(b *bolt.Bucket, batch map[string]record) error {
	for k, r := range batch {
		if err := b.Put([]byte(k), r.encode()); err != nil {
			return err
		}
		if set, _, ok := strings.Cut(k, memberMark); ok {
			if err := trim(b, []byte(set+memberMark), []byte(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// trim deletes members of a set beyond MaxMembers, but not the one that has just come.
func trim(b *bolt.Bucket, set, keep []byte) error {
	var members [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(set); bytes.HasPrefix(k, set); k, _ = c.Next() {
		members = append(members, bytes.Clone(k))
	}
	for _, k := range members[:max(0, len(members)-MaxMembers)] {
		if bytes.Equal(k, keep) {
			k = members[len(members)-1]
		}
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// report logs the first failure to write and the recovery, not each try. The caller holds mu.
func (e *EmbeddedBackend) report(err error) {
	switch {
	case err != nil && e.fault == nil:
		e.log.Error("the embedded cache cannot be written; memory goes on", zap.Error(err))
	case err == nil && e.fault != nil:
		e.log.Info("the embedded cache is written again")
	}
	e.fault = err
}

// sweep deletes what has expired, and makes room when the file has grown beyond its bound: first of what can be made
// again, then, if that was not enough, of the times of first sight as well. It goes through the file in batches, so that
// the memory and time of each are bounded.
func (e *EmbeddedBackend) sweep(now time.Time) {
	excess := e.excess()
	excess -= e.sweepPass(func(_ string, r record, freed int64) bool { return !now.Before(r.expires) })
	if excess <= 0 {
		return
	}
	excess -= e.sweepPass(func(key string, _ record, freed int64) bool { return freed < excess && !isSeen(key) })
	if excess > 0 {
		e.sweepPass(func(_ string, _ record, freed int64) bool { return freed < excess })
	}
}

// sweepPass deletes what goes says, told how much went before, and returns how many bytes did.
func (e *EmbeddedBackend) sweepPass(goes func(key string, r record, freed int64) bool) (freed int64) {
	for from := []byte{}; from != nil; {
		select {
		case <-e.done:
			return freed
		default:
		}
		var old []aged
		err := e.within("sweeping", func(db *bolt.DB) error {
			return db.View(func(tx *bolt.Tx) error {
				old, from, freed = sweepBatchOf(tx.Bucket(values), from, freed, goes)
				return nil
			})
		})
		if err == nil && len(old) > 0 {
			err = e.within("sweeping", func(db *bolt.DB) error {
				return db.Update(func(tx *bolt.Tx) error { return deleteAll(tx.Bucket(values), old) })
			})
		}
		if err != nil {
			e.log.Warn("making room", zap.Error(err))
			return freed
		}
	}
	return freed
}

// aged is an entry that was found to be deleted: its key, and its head to see whether it was written again since.
type aged struct{ key, head []byte }

// sweepBatchOf goes over one batch and returns where the next starts, nil at the end.
func sweepBatchOf(b *bolt.Bucket, from []byte, freed int64, goes func(string, record, int64) bool) ([]aged, []byte, int64) {
	var gone []aged
	c, n := b.Cursor(), 0
	k, v := c.Seek(from)
	for ; k != nil && n < sweepBatch; k, v = c.Next() {
		n++
		if r, ok := peekRecord(v); !ok || goes(string(k), r, freed) {
			gone = append(gone, aged{bytes.Clone(k), bytes.Clone(v[:min(len(v), recordHead)])})
			freed += int64(len(k) + len(v))
		}
	}
	return gone, bytes.Clone(k), freed
}

func deleteAll(b *bolt.Bucket, old []aged) error {
	for _, a := range old {
		if !bytes.HasPrefix(b.Get(a.key), a.head) {
			continue
		}
		if err := b.Delete(a.key); err != nil {
			return err
		}
	}
	return nil
}

// excess returns how many bytes must go for the file to stay below its bound; pages that are free already are room.
func (e *EmbeddedBackend) excess() int64 {
	var used int64
	err := e.within("measuring", func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error {
			stats := db.Stats()
			used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(db.Info().PageSize)
			return nil
		})
	})
	if err != nil || used <= e.max {
		return 0
	}
	return used - e.max + e.max/evictShare
}
