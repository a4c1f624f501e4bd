package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// memberMark stands between the name of a set and that of its member in a stored key; names hold no NUL.
const memberMark = "\x00"

// recordHead is the length of what stands before a value in the file: when it expires and its fence, 8 bytes each.
const recordHead = 16

func (r record) encode() []byte {
	b := make([]byte, 0, recordHead+len(r.value))
	b = binary.BigEndian.AppendUint64(b, uint64(r.expires.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, r.fence)
	return append(b, r.value...)
}

func (r record) size(key string) int64 { return int64(len(key) + len(r.value) + recordHead) }

// peekRecord reads what is stored without copying the value.
func peekRecord(b []byte) (record, bool) {
	if len(b) <= recordHead || len(b) > recordHead+MaxValue {
		return record{}, false
	}
	return record{
		expires: time.UnixMilli(int64(binary.BigEndian.Uint64(b))),
		fence:   binary.BigEndian.Uint64(b[8:]),
		value:   b[recordHead:],
	}, true
}

// decodeRecord copies: what bbolt hands out ends with its transaction.
func decodeRecord(b []byte) (record, bool) {
	r, ok := peekRecord(b)
	r.value = bytes.Clone(r.value)
	return r, ok
}

// Get is Values.Get.
func (e *EmbeddedBackend) Get(_ context.Context, key string) (Entry, error) {
	r, ok, err := e.lookup(key)
	if err != nil {
		return Entry{}, err
	}
	if !ok || !time.Now().Before(r.expires) {
		return Entry{}, ErrMiss
	}
	return Entry{Value: r.value, Fence: r.fence}, nil
}

func (e *EmbeddedBackend) lookup(key string) (r record, ok bool, err error) {
	e.mu.RLock()
	r, ok = e.unwritten[key]
	e.mu.RUnlock()
	if ok {
		return r, true, nil
	}
	err = e.within("reading "+key, func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error {
			r, ok = decodeRecord(tx.Bucket(values).Get([]byte(key)))
			return nil
		})
	})
	return r, ok, err
}

// Members is Values.Members.
func (e *EmbeddedBackend) Members(_ context.Context, key string) (map[string][]byte, error) {
	now, from := time.Now(), []byte(key+memberMark)
	// What waits is copied first: what is written meanwhile is then seen in the file.
	out := e.waiting(key)
	err := e.within("reading "+key, func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error {
			c := tx.Bucket(values).Cursor()
			for k, v := c.Seek(from); bytes.HasPrefix(k, from) && len(out) < MaxMembers; k, v = c.Next() {
				r, ok := decodeRecord(v)
				if _, newer := out[string(k[len(from):])]; ok && !newer && now.Before(r.expires) {
					out[string(k[len(from):])] = r.value
				}
			}
			return nil
		})
	})
	if len(out) == 0 && err == nil {
		err = ErrMiss
	}
	return out, err
}

// waiting returns the members of a set that are not in the file yet.
func (e *EmbeddedBackend) waiting(key string) map[string][]byte {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := map[string][]byte{}
	for member := range e.sets[key] {
		if len(out) == MaxMembers {
			break
		}
		out[member] = e.unwritten[key+memberMark+member].value
	}
	return out
}

// Write is Values.Write. It does not wait for the disk.
func (e *EmbeddedBackend) Write(_ context.Context, writes ...Write) (refused int, err error) {
	for _, w := range writes {
		took, err := e.write(w)
		if err != nil {
			return refused, err
		}
		if !took {
			refused++
			continue
		}
		if w.Notice != "" {
			e.publish(w.Notice)
		}
	}
	return refused, nil
}

func (e *EmbeddedBackend) write(w Write) (took bool, err error) {
	key := w.Key
	if w.Member != "" {
		key += memberMark + w.Member
	} else if !w.Replace {
		old, ok, err := e.lookup(key)
		if err != nil {
			return false, err
		}
		if ok && old.fence > w.Fence && time.Now().Before(old.expires) {
			return false, nil
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	// Another writer may have come between the look and now.
	if old, ok := e.unwritten[key]; ok && w.Member == "" && !w.Replace && old.fence > w.Fence {
		return false, nil
	}
	r := record{value: w.Value, fence: w.Fence, expires: time.Now().Add(w.TTL)}
	e.forget(key)
	if e.bytes+r.size(key) > maxUnwritten {
		e.dropped++
		return true, nil
	}
	e.unwritten[key] = r
	e.bytes += r.size(key)
	if w.Member != "" {
		if e.sets[w.Key] == nil {
			e.sets[w.Key] = map[string]struct{}{}
		}
		e.sets[w.Key][w.Member] = struct{}{}
	}
	if e.bytes > flushBytes {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	return true, nil
}

// forget takes key out of what waits. The caller holds mu.
func (e *EmbeddedBackend) forget(key string) {
	r, ok := e.unwritten[key]
	if !ok {
		return
	}
	delete(e.unwritten, key)
	e.bytes -= r.size(key)
	if set, member, ok := strings.Cut(key, memberMark); ok {
		if delete(e.sets[set], member); len(e.sets[set]) == 0 {
			delete(e.sets, set)
		}
	}
}
