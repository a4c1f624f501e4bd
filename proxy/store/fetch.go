package store

import (
	"context"
	"io"
	"os"

	"go.uber.org/zap"
)

// A Source opens a stream of the whole object, from its first byte. Reading the stream must end when ctx does.
type Source = func(ctx context.Context) (io.ReadCloser, error)

// A fillKey holds the size as well: a manifest that lies about it has its own fetch, and cannot spoil that of others.
type fillKey struct {
	digest string
	size   int64
}

// Fetch brings an object into the store: it starts the one fetch of it, joins the one under way, or finds the object
// held. The fetch goes on when ctx ends, until it is complete, fails, runs into FillTimeout, or the store is closed.
// source may be called later again, with the context of a reader, if the fetch cannot spool (see Fill.Open).
func (s *Store) Fetch(ctx context.Context, digest string, size int64, source Source) (*Fill, error) {
	addr, err := parseAddress(digest)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, badName("fetching %s: %d is no size", digest, size)
	}
	if fill := s.join(addr, size); fill != nil {
		return fill, nil
	}
	// Held after all: a fetch may have ended since the caller looked. If storage cannot say, fetching still works.
	if held, err := s.stat(ctx, addr); err == nil && held == size && !s.damagedSize(addr, held) {
		return heldFill(s, addr, size, source), nil
	}
	return s.start(ctx, addr, size, source)
}

func (s *Store) join(addr address, size int64) *Fill {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fills[fillKey{addr.text, size}]
}

func (s *Store) start(ctx context.Context, addr address, size int64, source Source) (*Fill, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	key := fillKey{addr.text, size}
	if fill := s.fills[key]; fill != nil {
		return fill, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.FillTimeout)
	fill := &Fill{
		store: s, addr: addr, size: size, source: source,
		cancel: cancel, done: make(chan struct{}), refs: 1,
	}
	s.fills[key] = fill
	s.metrics.fills.Inc()
	s.running.Go(func() { fill.run(ctx) })
	return fill, nil
}

// forget lets the next Fetch start anew.
func (s *Store) forget(f *Fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fillKey{f.addr.text, f.size}
	if s.fills[key] == f {
		delete(s.fills, key)
	}
}

// run is the life of a fetch. Whatever happens, every reader and waiter is told.
func (f *Fill) run(ctx context.Context) {
	defer f.cancel()
	s := f.store
	fault, err := f.begin(ctx)
	if err != nil {
		s.metrics.failures.WithLabelValues(fault).Inc()
		s.log.Debug("a fetched object was not stored", zap.String("digest", f.addr.text), zap.Error(err))
	} else {
		s.index.added(f.addr.text, f.size)
		s.wakeEviction()
	}
	s.forget(f)
	f.finish(err)
}

// Whose fault it is that a fetch was not stored; label values.
const (
	faultSource  = "source"
	faultContent = "content"
	faultStorage = "storage"
)

// begin waits for its turn, fetches, and stores what was verified.
func (f *Fill) begin(ctx context.Context) (fault string, err error) {
	s := f.store
	select {
	case s.fillSlots <- struct{}{}:
		defer func() { <-s.fillSlots }()
	case <-ctx.Done():
		return faultSource, f.fail(sourceFault(f.addr, context.Cause(ctx)))
	}
	s.metrics.active.Inc()
	defer s.metrics.active.Dec()

	spool, err := s.newSpool()
	if err != nil {
		return faultStorage, f.lose(err)
	}
	f.attach(spool)
	commit := f.committer(ctx, spool)
	fault, err = f.receive(ctx, spool)
	commitErr := commit(err == nil)
	if err != nil || commitErr == nil {
		return fault, err
	}
	err = storageFault("storing", f.addr.text, commitErr)
	if ctx.Err() == nil {
		err = s.wrote(err)
	}
	return faultStorage, err
}

// committer returns what to call once the bytes are verified, or known to be bad: it stores the object, or leaves no
// trace of it.
func (f *Fill) committer(ctx context.Context, spool *os.File) func(verified bool) error {
	s := f.store
	if s.disk == nil {
		return func(verified bool) error {
			if !verified {
				return nil
			}
			if err := s.upload(ctx, f.addr, spool, f.size); err != nil {
				return err
			}
			return s.wrote(nil)
		}
	}
	return func(verified bool) error {
		var err error
		if verified {
			err = s.disk.commit(spool, f.addr)
			if err == nil {
				return s.wrote(nil)
			}
		}
		if removeErr := os.Remove(spool.Name()); removeErr != nil {
			s.log.Warn("a spool file stays until the next start", zap.Error(removeErr))
		}
		return err
	}
}
