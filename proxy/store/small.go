package store

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
)

// Get returns a small object: a manifest or a config. The bytes are shared, do not change them. The error of one that
// is not held has status 404, of one that is larger than limit reason too_large. Bytes that come from storage are
// hashed; damaged ones are removed and not found.
func (s *Store) Get(ctx context.Context, digest string, limit int64) ([]byte, error) {
	if data := s.hot.get(digest); data != nil {
		if int64(len(data)) > limit {
			return nil, tooLarge(digest, int64(len(data)), limit)
		}
		s.index.used(digest)
		s.metrics.hits.Inc()
		return data, nil
	}
	addr, err := parseAddress(digest)
	if err != nil {
		return nil, err
	}
	s.metrics.misses.Inc()
	data, err := s.read(ctx, addr, limit)
	if err != nil {
		return nil, err
	}
	s.hot.put(addr.text, data)
	return data, nil
}

// read reads and verifies an object that must not be larger than limit.
func (s *Store) read(ctx context.Context, addr address, limit int64) ([]byte, error) {
	object, err := s.Open(ctx, addr.text)
	if err != nil {
		return nil, err
	}
	defer object.Close() // was only read
	if object.Size() > limit {
		return nil, tooLarge(addr.text, object.Size(), limit)
	}
	data := make([]byte, object.Size())
	if _, err := io.ReadFull(object, data); err != nil {
		return nil, storageFault("reading", addr.text, err)
	}
	if !addr.names(data) {
		if err := s.Discard(ctx, addr.text); err != nil {
			return nil, err
		}
		return nil, notFound(addr.text)
	}
	return data, nil
}

// Put stores a small object under its digest. It refuses bytes that hash to something else. Where storage does not
// take the object while there is memory to hold it, Put succeeds, so that a full disk does not refuse an image: the
// object then lasts until memory is needed, and Err says what is wrong. Put keeps b; do not change it afterwards.
func (s *Store) Put(ctx context.Context, digest string, b []byte) error {
	addr, err := parseAddress(digest)
	if err != nil {
		return err
	}
	if !addr.names(b) {
		return invalid("storing %s: the %d bytes have another digest", addr, len(b))
	}
	if s.isClosed() {
		return errClosed
	}
	if size, err := s.stat(ctx, addr); err == nil && size == int64(len(b)) {
		s.hot.put(addr.text, b)
		s.index.usedSize(addr.text, size)
		return nil
	}
	inMemory := s.hot.put(addr.text, b)
	err = s.write(ctx, addr, b)
	if err != nil {
		err = storageFault("storing", addr.text, err)
	}
	if ctx.Err() != nil && err != nil {
		return err
	}
	if err = s.wrote(err); err == nil {
		s.index.added(addr.text, int64(len(b)))
		s.wakeEviction()
	}
	if inMemory {
		return nil
	}
	return err
}

func (s *Store) write(ctx context.Context, addr address, b []byte) error {
	if s.disk == nil {
		return s.driver.PutContent(ctx, addr.path(), b)
	}
	err := s.writeFile(addr, b)
	if isNoSpace(err) && s.reclaim(ctx, int64(len(b))) > 0 {
		err = s.writeFile(addr, b)
	}
	return err
}

func (s *Store) writeFile(addr address, b []byte) error {
	file, err := s.disk.create()
	if err != nil {
		return err
	}
	defer file.Close() // synced by commit
	if _, err = file.Write(b); err != nil {
		err = fmt.Errorf("writing %s: %w", addr, err)
	} else {
		err = s.disk.commit(file, addr)
	}
	if err != nil {
		if removeErr := os.Remove(file.Name()); removeErr != nil {
			s.log.Warn("a spool file stays until the next start", zap.Error(removeErr))
		}
	}
	return err
}

// names tells whether an address is that of these bytes.
func (a address) names(b []byte) bool {
	sum := a.hash()
	sum.Write(b)
	return a.is(sum.Sum(nil))
}

// is tells whether an address has this hash.
func (a address) is(sum []byte) bool {
	var text [2 * sha512.Size]byte
	return bytes.Equal(hex.AppendEncode(text[:0], sum), []byte(a.hex))
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
