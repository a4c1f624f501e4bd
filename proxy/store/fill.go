package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A Fill is one fetch of one object into the store, which any number of readers may follow.
type Fill struct {
	store  *Store
	addr   address
	size   int64
	source Source
	cancel context.CancelFunc
	done   chan struct{} // closed when the object is stored, or will not be

	mu       sync.Mutex
	wake     chan struct{} // closed at the next change; nil while nobody waits
	spool    *os.File      // nil before the fetch has begun and once nobody reads it
	refs     int           // readers of the spool, and the fetch itself
	ready    int64         // bytes that readers may have: never the last one before it is verified
	verified bool
	fault    error // of source or content: readers fail
	lost     error // of the spool: readers fetch for themselves
	outcome  error // of Wait
}

// heldFill is the Fill of an object that the store holds.
func heldFill(s *Store, addr address, size int64, source Source) *Fill {
	f := &Fill{store: s, addr: addr, size: size, source: source, done: make(chan struct{}), ready: size, verified: true}
	close(f.done)
	return f
}

// Size returns the length of the object in bytes, as Fetch was told.
func (f *Fill) Size() int64 { return f.size }

// Wait returns nil once the object is in the store. Otherwise it says what was wrong: of the source as the source
// said it, of the content with status 502, of storage with status 503. When ctx ends, the fetch goes on. Storage at
// fault does not keep readers from the object.
func (f *Fill) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.outcome
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", f.addr, context.Cause(ctx))
	}
}

// receive copies the source into the spool and verifies it.
func (f *Fill) receive(ctx context.Context, spool *os.File) (fault string, err error) {
	s := f.store
	stream, err := f.source(ctx)
	if err != nil {
		return faultSource, f.fail(sourceFault(f.addr, err))
	}
	defer stream.Close() // was only read

	buffer, _ := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buffer)
	check := newChecker(f.addr, f.size)
	for !check.ended {
		n, err := check.read(stream, buffer[:])
		if n > 0 {
			s.metrics.fillBytes.Add(float64(n))
			if writeErr := s.writeSpool(ctx, spool, buffer[:n], check.count-int64(n), f.size); writeErr != nil {
				return faultStorage, f.lose(writeErr)
			}
			f.publish(min(check.count, f.size-1), false)
		}
		if err != nil {
			if isContentFault(err) {
				return faultContent, f.fail(err)
			}
			return faultSource, f.fail(err)
		}
	}
	f.publish(f.size, true)
	return "", nil
}

// writeSpool writes at an offset. On a full disk it evicts what the rest of the object needs, once per call.
func (s *Store) writeSpool(ctx context.Context, spool *os.File, p []byte, offset, size int64) error {
	n, err := spool.WriteAt(p, offset)
	if err != nil && isNoSpace(err) && s.reclaim(ctx, size-offset) > 0 {
		_, err = spool.WriteAt(p[n:], offset+int64(n))
	}
	if err != nil {
		return fmt.Errorf("writing a spool file: %w", err)
	}
	return nil
}

func (f *Fill) attach(spool *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spool = spool
	f.changed()
}

// publish lets readers have the bytes up to ready.
func (f *Fill) publish(ready int64, verified bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready, f.verified = max(f.ready, ready), verified
	f.changed()
}

// fail ends the fetch for every reader.
func (f *Fill) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = err
	f.changed()
	return err
}

// lose ends the fetch, and lets every reader go on by itself.
func (f *Fill) lose(err error) error {
	err = f.store.wrote(storageFault("storing", f.addr.text, err))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = err
	f.changed()
	return err
}

// finish tells the waiters; from now on the spool lives as long as its readers.
func (f *Fill) finish(err error) {
	f.mu.Lock()
	f.outcome = err
	f.changed()
	f.mu.Unlock()
	close(f.done)
	f.release()
}

// release closes the spool after its last reader.
func (f *Fill) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs--
	if f.refs == 0 && f.spool != nil {
		_ = f.spool.Close() // on disk since the commit, or not wanted
		f.spool = nil
	}
}

// changed wakes whoever waits; f.mu is held.
func (f *Fill) changed() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// errGone says that there is no spool to read: the object is stored, or the reader is on its own.
var errGone = errors.New("the fetch keeps no spool")

// await waits until there is something to read at offset, and returns how far one can read; io.EOF behind the end.
func (f *Fill) await(done <-chan struct{}, offset int64) (spool *os.File, ready int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.fault != nil:
			return nil, 0, f.fault
		case f.verified && offset >= f.size:
			return nil, 0, io.EOF
		case offset < f.ready && f.spool != nil:
			return f.spool, f.ready, nil
		case f.lost != nil, f.spool == nil && f.verified:
			return nil, 0, errGone
		}
		if f.wake == nil {
			f.wake = make(chan struct{})
		}
		wake := f.wake
		f.mu.Unlock()
		select {
		case <-wake:
			f.mu.Lock()
		case <-done:
			f.mu.Lock()
			return nil, 0, context.Canceled
		}
	}
}
