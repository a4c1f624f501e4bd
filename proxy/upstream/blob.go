package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxResumePause is the longest wait between two tries to resume, and the longest Retry-After that a blob under
	// way waits for: a client is waiting behind it.
	maxResumePause = 3 * time.Second
	// resumeProgress is how many bytes make a resumed blob count as going on, so that a drip does not go on for ever.
	resumeProgress = 256 << 10
)

// Blob streams a blob of exactly size bytes. A stream that breaks is continued by Range, a bounded number of times
// without progress. More or fewer bytes than size are an error, never an early or a clean EOF. The digest is not
// checked here. The context bounds the whole stream.
func (c *Client) Blob(ctx context.Context, upstream, repository, digest string, size int64) (io.ReadCloser, error) {
	r, err := c.registry(upstream)
	if err != nil {
		return nil, err
	}
	if _, ok := parseDigest(digest); !ok || size < 0 {
		return nil, r.fault(http.StatusBadRequest, reasonInvalidName, "not a blob: %q, %d bytes", printable(digest), size)
	}
	b := &blob{ctx: ctx, r: r, repository: repository, digest: digest, size: size}
	if err := b.open(r.opts.Retries); err != nil {
		return nil, err
	}
	return b, nil
}

// A blob is a stream that mends itself.
type blob struct {
	ctx                context.Context //nolint:containedctx // the stream's own lifetime, given by its owner
	r                  *registry
	repository, digest string
	size               int64

	body  io.ReadCloser // nil between a fault and its mending
	etag  string        // strong, of the first answer
	off   int64         // bytes handed out
	mark  int64         // off when tries was last set back
	tries int           // to resume, since mark
	err   error         // final
}

// open asks for what is left of the blob.
func (b *blob) open(retries int) error {
	q := query{
		kind: "blob", method: http.MethodGet, repository: b.repository, path: "blobs/" + b.digest,
		header: http.Header{}, places: b.r.streams, retries: retries,
	}
	if b.off > 0 {
		q.header.Set("Range", "bytes="+strconv.FormatInt(b.off, 10)+"-")
		if b.etag != "" {
			q.header.Set("If-Range", b.etag)
		}
	}
	resp, err := b.r.do(b.ctx, q)
	if err != nil {
		return err
	}
	if err := b.begin(resp); err != nil {
		_ = resp.Body.Close()
		return err
	}
	b.body = resp.Body
	return nil
}

// begin checks that a response is what is left, and reads over what it repeats.
func (b *blob) begin(resp *http.Response) error {
	left := b.size - b.off
	if resp.StatusCode == http.StatusPartialContent {
		if !continues(resp.Header.Get("Content-Range"), b.off, b.size) {
			return b.wrong("a Content-Range %q, bytes %d to the end of %d were asked for",
				printable(resp.Header.Get("Content-Range")), b.off, b.size)
		}
	} else {
		left = b.size
	}
	if resp.ContentLength >= 0 && resp.ContentLength != left {
		return b.wrong("%d bytes, %d were declared", resp.ContentLength, left)
	}
	if tag := resp.Header.Get("ETag"); b.etag == "" && b.off == 0 && strings.HasPrefix(tag, `"`) {
		b.etag = tag
	}
	if repeated := left - (b.size - b.off); repeated > 0 {
		if _, err := io.CopyN(io.Discard, resp.Body, repeated); err != nil {
			return b.r.networkFault(b.ctx, "reading a blob again", err)
		}
	}
	return nil
}

// continues reports whether a Content-Range is from off to the end of size (RFC 9110, section 14.4).
func continues(header string, off, size int64) bool {
	span := "bytes " + strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(size-1, 10) + "/"
	return header == span+strconv.FormatInt(size, 10) || header == span+"*"
}

// wrong is the final Error of a blob whose bytes cannot be the ones asked for.
func (b *blob) wrong(format string, args ...any) *Error {
	b.r.count.refused(b.r.name, reasonInvalidContent)
	return b.r.invalid("blob %s: it gives %w", b.digest, fmt.Errorf(format, args...))
}

// Read hands out the next bytes. The last ones come only after the upstream has ended where it should.
func (b *blob) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.err == nil {
		if b.body == nil {
			b.err = b.resume()
			continue
		}
		n, err := b.read(p)
		if n > 0 || b.err != nil {
			return n, b.err
		}
		if err != nil {
			b.broke(err)
		}
	}
	return 0, b.err
}

// read takes bytes from the present response. An error it returns may be mended; one in b.err may not.
func (b *blob) read(p []byte) (int, error) {
	if left := b.size - b.off; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = b.body.Read(p)
	}
	if b.off+int64(n) < b.size {
		b.off += int64(n)
		if err == nil || n > 0 {
			return n, nil // an error beside bytes comes again with the next read
		}
		return 0, err
	}
	if err == nil {
		err = b.end()
	}
	switch {
	case err == io.EOF:
		b.off, b.err = b.size, io.EOF
		if n > 0 {
			b.close()
			return n, nil
		}
	case b.err == nil:
		// All bytes, but no end: the connection broke on its last chunk. They are asked for again.
		return 0, err
	}
	b.close()
	return 0, b.err
}

// end makes sure that nothing follows the last byte. It returns io.EOF, or a fault that may be mended, or sets b.err.
func (b *blob) end() error {
	var one [1]byte
	for range 100 { // as bufio does: a reader that gives neither bytes nor an error is broken
		n, err := b.body.Read(one[:])
		if n > 0 {
			b.err = b.wrong("more than %d bytes", b.size)
			return b.err
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// broke notes a fault of the present response. A clean EOF before the end is one, too: the upstream declared no
// length, and may have given up on a fault of its own. Only if it stays so are its bytes wrong.
func (b *blob) broke(err error) {
	b.close()
	if b.off-b.mark >= resumeProgress {
		b.mark, b.tries = b.off, 0
	}
	b.tries++
	switch {
	case b.ctx.Err() == nil && b.tries <= b.r.opts.Resumes:
	case errors.Is(err, io.EOF):
		b.err = b.wrong("%d bytes, %d were declared", b.off, b.size)
	default:
		b.err = b.r.networkFault(b.ctx, fmt.Sprintf("reading blob %s at byte %d of %d", b.digest, b.off, b.size), err)
	}
}

// resume asks for the rest, after a pause that grows with each try.
func (b *blob) resume() error {
	pause := min(retryPause<<min(b.tries-1, 8), maxResumePause)
	for {
		if err := sleep(b.ctx, jitter(pause)); err != nil {
			return b.r.networkFault(b.ctx, "resuming a blob", err)
		}
		err := b.open(0)
		if err == nil {
			b.r.count.resumes.WithLabelValues(b.r.name).Inc()
			return nil
		}
		e, ok := errors.AsType[*Error](err)
		passing := ok && (e.Status == http.StatusServiceUnavailable && e.Code == reasonUnavailable ||
			e.Status == http.StatusTooManyRequests) && e.Retry <= maxResumePause
		b.tries++
		if !passing || b.tries > b.r.opts.Resumes {
			return err
		}
		pause = min(max(2*pause, e.Retry), maxResumePause)
	}
}

func (b *blob) close() {
	if b.body != nil {
		_ = b.body.Close()
		b.body = nil
	}
}

// Close ends the stream.
func (b *blob) Close() error {
	b.close()
	if b.err == nil {
		b.err = errors.New("reading a closed blob")
	}
	return nil
}
