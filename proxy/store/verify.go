package store

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
)

// maxEmptyReads is how often a source may return nothing and no error, as in bufio.
const maxEmptyReads = 100

// A checker reads a source and finds out whether it is what its digest and size say.
type checker struct {
	addr  address
	size  int64
	sum   hash.Hash
	count int64 // bytes read
	ended bool  // everything is read and verified
	empty int
}

func newChecker(addr address, size int64) *checker {
	return &checker{addr: addr, size: size, sum: addr.hash()}
}

// read reads once. The n bytes are the object's, and no more than it has. ended is set with the source's end, not
// before: what goes on after the last byte is not this object.
func (c *checker) read(source io.Reader, p []byte) (n int, err error) {
	room := c.size - c.count + 1 // the one byte more that must not come
	n, err = source.Read(p[:min(int64(len(p)), room)])
	if c.count+int64(n) > c.size {
		return 0, invalid("fetching %s: more than the %d bytes it should have", c.addr, c.size)
	}
	c.sum.Write(p[:n])
	c.count += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		return n, c.end()
	case err != nil:
		return n, sourceFault(c.addr, err)
	case n > 0:
		c.empty = 0
	default:
		if c.empty++; c.empty > maxEmptyReads {
			return 0, sourceFault(c.addr, io.ErrNoProgress)
		}
	}
	return n, nil
}

func (c *checker) end() error {
	if c.count != c.size {
		return invalid("fetching %s: ends after %d of %d bytes", c.addr, c.count, c.size)
	}
	if !c.addr.is(c.sum.Sum(nil)) {
		return invalid("fetching %s: the %d bytes have another digest", c.addr, c.size)
	}
	c.ended = true
	return nil
}

// sourceFault keeps what the source says of itself: status and reason are found through it.
func sourceFault(addr address, err error) error { return fmt.Errorf("fetching %s: %w", addr, err) }

func isContentFault(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.status == http.StatusBadGateway && e.reason == ReasonInvalid
}

// Passthrough verifies a source on its way to a client, without storing it: for when nothing can be stored. The last
// byte is handed out only after the length and hash of the whole were verified, so a client never takes what is
// wrong for complete. Closing it closes the source.
func Passthrough(digest string, size int64, source io.ReadCloser) (io.ReadCloser, error) {
	addr, err := parseAddress(digest)
	if err == nil && size < 0 {
		err = badName("passing %s through: %d is no size", digest, size)
	}
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &passthrough{source: source, check: newChecker(addr, size)}, nil
}

type passthrough struct {
	source io.ReadCloser
	check  *checker
	last   []byte // the last byte, until it was handed out
	err    error
}

// Read implements io.Reader.
func (t *passthrough) Read(p []byte) (int, error) {
	if t.err != nil || len(p) == 0 {
		return 0, t.err
	}
	for {
		if left := t.check.size - t.check.count; left > 1 {
			n, err := t.check.read(t.source, p[:min(int64(len(p)), left-1)])
			t.err = err
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		return t.readLast(p)
	}
}

// readLast reads the last byte and the end behind it.
func (t *passthrough) readLast(p []byte) (int, error) {
	var buffer [2]byte
	for !t.check.ended {
		n, err := t.check.read(t.source, buffer[:])
		if n > 0 {
			t.last = append(t.last, buffer[:n]...)
		}
		if err != nil {
			t.err = err
			return 0, err
		}
	}
	t.err = io.EOF
	return copy(p, t.last), io.EOF
}

// Close implements io.Closer.
func (t *passthrough) Close() error { return t.source.Close() }
