package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Reader follows a Fill from any offset while it grows. It is not for use by several goroutines at once.
//
// The object's last byte comes only after the whole was verified. Whatever goes wrong before is an error, never an
// early io.EOF. Where the fetch cannot spool (a full disk, a read-only one), each Reader goes on by a fetch of its
// own, from the start, verified in the same way.
type Reader struct {
	fill   *Fill
	done   <-chan struct{}
	offset int64

	spooled bool     // holds the spool
	file    *os.File // the spool once more, for the operating system to send from

	// How to go on without the spool. The functions carry the context that the reader was opened with.
	stored func() (io.ReadSeekCloser, error)
	alone  func() (io.ReadCloser, error)
	body   io.ReadCloser // one of both, standing at offset
}

// Open returns a reader of the object, at its start; Seek moves it. Reads end with ctx. A reader that is not closed
// keeps the spool.
func (f *Fill) Open(ctx context.Context) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.addr, err)
	}
	return f.open(ctx), nil
}

func (f *Fill) open(ctx context.Context) *Reader {
	r := &Reader{fill: f, done: ctx.Done()}
	r.stored = func() (io.ReadSeekCloser, error) { return f.store.Open(ctx, f.addr.text) }
	r.alone = func() (io.ReadCloser, error) {
		stream, err := f.source(ctx)
		if err != nil {
			return nil, sourceFault(f.addr, err)
		}
		return Passthrough(f.addr.text, f.size, stream)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs > 0 {
		f.refs++
		r.spooled = true
	}
	return r
}

// Size returns the length of the object in bytes.
func (r *Reader) Size() int64 { return r.fill.size }

// Read implements io.Reader. It returns as soon as there is something.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	spool, ready, err := r.next()
	if err != nil {
		return 0, err
	}
	if spool == nil {
		return r.readBody(p)
	}
	n, err := spool.ReadAt(p[:min(int64(len(p)), ready-r.offset)], r.offset)
	r.offset += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, storageFault("reading the spool of", r.fill.addr.text, notEOF(err))
}

// next waits for bytes at the offset. Without an error and without a spool, they come from the body.
func (r *Reader) next() (spool *os.File, ready int64, err error) {
	if r.body != nil {
		return nil, 0, nil
	}
	spool, ready, err = r.fill.await(r.done, r.offset)
	if errors.Is(err, errGone) {
		return nil, 0, r.openBody()
	}
	if errors.Is(err, context.Canceled) {
		return nil, 0, fmt.Errorf("reading %s: %w", r.fill.addr, err)
	}
	return spool, ready, err
}

// openBody goes on from the store, or else from the source.
func (r *Reader) openBody() error {
	if r.fill.isStored() {
		object, err := r.stored()
		if err == nil {
			if _, err = object.Seek(r.offset, io.SeekStart); err != nil {
				return errors.Join(err, object.Close())
			}
			r.body = object
			return nil
		}
		if !isNotFound(err) {
			return err
		}
	}
	stream, err := r.alone()
	if err != nil {
		return err
	}
	// What was handed out, or jumped over, is read again: the hash needs it.
	if _, err := io.CopyN(io.Discard, stream, min(r.offset, r.fill.size)); err != nil {
		return errors.Join(notEOF(err), stream.Close())
	}
	r.body = stream
	return nil
}

func (r *Reader) readBody(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.offset += int64(n)
	if errors.Is(err, io.EOF) && r.offset < r.fill.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo implements io.WriterTo. To a connection, the operating system sends from the spool itself.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	sender, _ := w.(io.ReaderFrom)
	buffer, _ := r.fill.store.buffers.Get().(*[bufferSize]byte)
	defer r.fill.store.buffers.Put(buffer)
	for {
		spool, ready, err := r.next()
		var n int64
		switch {
		case err != nil:
		case spool != nil && sender != nil && r.reopened(spool):
			n, err = r.send(sender, ready-r.offset)
		default:
			n, err = r.pass(w, buffer[:])
		}
		written += n
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// reopened tells whether there is a file of our own to send from.
func (r *Reader) reopened(spool *os.File) bool {
	if r.file == nil {
		r.file, _ = reopen(spool) // where it cannot be had, copying does as well
	}
	return r.file != nil
}

func (r *Reader) send(w io.ReaderFrom, size int64) (int64, error) {
	if _, err := r.file.Seek(r.offset, io.SeekStart); err != nil {
		return 0, storageFault("reading the spool of", r.fill.addr.text, err)
	}
	n, err := w.ReadFrom(io.LimitReader(r.file, size))
	r.offset += n
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *Reader) pass(w io.Writer, buffer []byte) (int64, error) {
	n, err := r.Read(buffer)
	if n == 0 {
		return 0, err
	}
	m, writeErr := w.Write(buffer[:n])
	if writeErr == nil && m < n {
		writeErr = io.ErrShortWrite
	}
	if writeErr != nil {
		return int64(m), writeErr
	}
	return int64(m), err
}

// Seek implements io.Seeker. It does not wait; reading does.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	target, err := seekTarget(offset, whence, r.offset, r.fill.size)
	if err != nil || target == r.offset {
		return target, err
	}
	r.offset = target
	return target, r.closeBody()
}

// Close lets the fetch go, which goes on without this reader.
func (r *Reader) Close() error {
	err := r.closeBody()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
		r.file = nil
	}
	if r.spooled {
		r.spooled = false
		r.fill.release()
	}
	return err
}

func (r *Reader) closeBody() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	return err
}

// isStored tells whether the fetch ended well.
func (f *Fill) isStored() bool {
	select {
	case <-f.done:
		return f.outcome == nil
	default:
		return false
	}
}

// notEOF keeps a stream that ended early from looking complete.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
