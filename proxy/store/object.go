package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"go.uber.org/zap"
)

// An Object is one stored object, open for reading. It is not for use by several goroutines at once. It stays
// readable when the store evicts it.
type Object struct {
	store *Store
	addr  address
	size  int64
	file  *os.File // of the filesystem driver

	// On object stores a body is opened at the first read, and again after a seek.
	open   func(offset int64) (io.ReadCloser, error)
	body   io.ReadCloser
	offset int64
	use    *entry
}

// Open opens an object. The error of one that is not held, or is held damaged, has status 404. Reads of objects on
// object stores end with ctx.
func (s *Store) Open(ctx context.Context, digest string) (*Object, error) {
	addr, err := parseAddress(digest)
	if err != nil {
		return nil, err
	}
	if s.disk != nil {
		return s.openFile(ctx, addr)
	}
	// Held from before it is looked up, so that our own eviction does not come between.
	use := s.index.hold(addr.text)
	size, err := s.stat(ctx, addr)
	if err == nil && s.damagedSize(addr, size) {
		err = errors.Join(notFound(addr.text), s.Discard(ctx, digest))
	}
	if err != nil {
		s.index.release(use)
		if isNotFound(err) {
			s.index.remove(addr.text)
		}
		return nil, err
	}
	s.index.sized(use, size)
	return &Object{
		store: s, addr: addr, size: size, use: use,
		open: func(offset int64) (io.ReadCloser, error) { return s.driver.Reader(ctx, addr.path(), offset) },
	}, nil
}

func (s *Store) openFile(ctx context.Context, addr address) (*Object, error) {
	file, size, err := s.disk.open(addr)
	if err != nil {
		return nil, err
	}
	if s.damagedSize(addr, size) {
		return nil, errors.Join(notFound(addr.text), file.Close(), s.Discard(ctx, addr.text))
	}
	s.index.usedSize(addr.text, size)
	return &Object{store: s, addr: addr, size: size, file: file}, nil
}

// damagedSize tells whether an object cannot have this size: it differs from what was stored or counted, or is zero
// for content that is not empty.
func (s *Store) damagedSize(addr address, size int64) bool {
	known := s.index.size(addr.text)
	if known >= 0 && known != size {
		return true
	}
	return size == 0 && !addr.names(nil)
}

// Size returns the length of the object in bytes.
func (o *Object) Size() int64 { return o.size }

// File returns the object's file, so that it can be sent without copying; nil unless the driver is filesystem. Its
// offset is the Object's. An error of reading it belongs to Fault.
func (o *Object) File() *os.File { return o.file }

// Read implements io.Reader. An object that ends early gives io.ErrUnexpectedEOF, never io.EOF.
func (o *Object) Read(p []byte) (int, error) {
	if o.file != nil {
		n, err := o.file.Read(p)
		if err != nil {
			err = o.fileEnd(err)
		}
		return n, err
	}
	if o.offset >= o.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if o.body == nil {
		body, err := o.open(o.offset)
		if err != nil {
			return 0, storageFault("reading", o.addr.text, err)
		}
		o.body = body
	}
	n, err := o.body.Read(p[:min(int64(len(p)), o.size-o.offset)])
	o.offset += int64(n)
	switch {
	case err == nil || o.offset == o.size:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, storageFault("reading", o.addr.text, err)
}

// fileEnd judges an error of reading the file: an end before the object's is no end.
func (o *Object) fileEnd(err error) error {
	if !errors.Is(err, io.EOF) {
		o.Fault(err)
		return err
	}
	if at, seekErr := o.file.Seek(0, io.SeekCurrent); seekErr == nil && at < o.size {
		o.discard()
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteTo implements io.WriterTo: a file is handed to the operating system.
func (o *Object) WriteTo(w io.Writer) (int64, error) {
	if o.file == nil {
		return io.Copy(w, struct{ io.Reader }{o})
	}
	n, err := io.Copy(w, o.file)
	if err != nil {
		o.Fault(err)
		return n, err
	}
	if end := o.fileEnd(io.EOF); !errors.Is(end, io.EOF) {
		return n, end
	}
	return n, nil
}

// Seek implements io.Seeker.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	if o.file != nil {
		return o.file.Seek(offset, whence)
	}
	target, err := seekTarget(offset, whence, o.offset, o.size)
	if err != nil {
		return 0, err
	}
	if target != o.offset {
		err = o.closeBody()
		o.offset = target
	}
	return target, err
}

// Close lets the object go.
func (o *Object) Close() error {
	if o.file != nil {
		return o.file.Close()
	}
	if o.use != nil {
		o.store.index.release(o.use)
		o.use = nil
	}
	return o.closeBody()
}

// Fault takes an error that came up while File was read. One of the disk removes the object, so that it is fetched
// again; errors of the network or the reader change nothing.
func (o *Object) Fault(err error) {
	if !errors.Is(err, syscall.EIO) || o.file == nil {
		return
	}
	// A client's connection does not give EIO to a read of the file, but a writer might; ask the file itself.
	var probe [1]byte
	at, _ := o.file.Seek(0, io.SeekCurrent)
	if _, readErr := o.file.ReadAt(probe[:], at); !errors.Is(readErr, syscall.EIO) {
		return
	}
	o.discard()
}

func (o *Object) discard() {
	if err := o.store.Discard(context.Background(), o.addr.text); err != nil {
		o.store.log.Error("a damaged object stays", zap.Error(err))
	}
}

func (o *Object) closeBody() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}

func seekTarget(offset int64, whence int, current, size int64) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += current
	case io.SeekEnd:
		offset += size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seeking to %d: before the start", offset)
	}
	return offset, nil
}
