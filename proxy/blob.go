package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/winnow-registry/winnow/proxy/admission"
)

// blob answers GET, with a single range if asked for, and HEAD of a blob.
func (x *exchange) blob() error {
	get := x.r.Method == http.MethodGet
	b, err := x.h.Gate.Blob(x.r.Context(), x.req.Reference, x.who, get)
	if err != nil {
		return err
	}
	if b.Object != nil {
		defer b.Object.Close()
	}
	digest := x.req.Reference.Digest
	x.judged(b.Reference, b.Verdict, b.Cached, false)
	x.record.Digest.Resolved, x.record.Digest.Served = digest, digest
	etag := `"` + digest + `"`
	h := x.w.Header()
	h["Etag"] = []string{etag}
	h["Docker-Content-Digest"] = []string{digest}
	if matches(x.r.Header["If-None-Match"], etag) {
		if err := x.decided(http.StatusNotModified, false); err != nil {
			return err
		}
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if b.URL != "" {
		if err := x.decided(http.StatusTemporaryRedirect, true); err != nil {
			return err
		}
		h.Set("Location", b.URL)
		x.w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	part, err := x.part(b.Size, etag)
	if err != nil {
		return err
	}
	h["Accept-Ranges"], h["Content-Type"] = bytesUnit, octets
	h["Content-Length"] = []string{strconv.FormatInt(part.length, 10)}
	status := http.StatusOK
	if part.partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.start, part.start+part.length-1, b.Size))
	}
	var coming *following
	if b.Fill != nil { // what the upstream answers decides the answer: only its first bytes make it a success
		if coming, err = follow(x.r.Context(), b.Fill, part); err != nil {
			return err
		}
		defer coming.Close()
	}
	if err := x.decided(status, get); err != nil {
		return err
	}
	x.w.WriteHeader(status)
	if !get {
		return nil
	}
	return x.stream(&b, coming, part)
}

// stream sends the part. The length is promised already: whatever ends the stream before is an error, and aborts it.
func (x *exchange) stream(b *admission.Blob, coming *following, part part) error {
	length := part.length
	if coming != nil {
		length = b.Size // the end of a part waits for the whole
	}
	limit := smallWrite + time.Duration(length/slowestRate)*time.Second
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(limit)) // not every writer has one
	if coming != nil {
		return x.pass(coming, part)
	}
	var src io.Reader = b.Object
	if file := b.Object.File(); file != nil {
		src = file // *os.File and no wrapper, so that net/http can use sendfile
	}
	if part.start > 0 {
		if _, err := b.Object.Seek(part.start, io.SeekStart); err != nil {
			b.Object.Fault(err)
			return err
		}
	}
	n, err := io.CopyN(x.w, src, part.length)
	x.bytes = n
	if err != nil && x.r.Context().Err() == nil {
		b.Object.Fault(err)
	}
	return err
}

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// firstBytes of a blob on its way are read before the answer begins. Few: the operating system may send the rest.
const firstBytes = 512

// A following is a part of a blob on its way from the upstream, of which the first bytes are there.
type following struct {
	io.ReadCloser
	first []byte
}

func follow(ctx context.Context, fill admission.Fill, part part) (*following, error) {
	r, err := fill.Open(ctx, part.start, part.length)
	if err != nil {
		return nil, err
	}
	first := make([]byte, min(firstBytes, part.length))
	n, err := r.Read(first)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	return &following{r, first[:n]}, nil
}

// pass sends what is still on its way.
func (x *exchange) pass(r *following, part part) error {
	sent, err := x.w.Write(r.first)
	n := int64(0)
	switch whole, ok := r.ReadCloser.(io.WriterTo); {
	case err != nil:
	case ok: // lets the operating system send what is spooled
		n, err = whole.WriteTo(x.w)
	default:
		buf := buffers.Get().(*[64 << 10]byte)
		defer buffers.Put(buf)
		// Behind plain interfaces, or io.CopyBuffer would let the ResponseWriter read with a buffer of its own.
		n, err = io.CopyBuffer(struct{ io.Writer }{x.w}, struct{ io.Reader }{r}, buf[:])
	}
	x.bytes = int64(sent) + n
	if err == nil && x.bytes != part.length {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// A part of a blob.
type part struct {
	start, length int64
	partial       bool
}

// part reads the Range header (RFC 9110 section 14.2): a single range of bytes. Several, or one that is malformed, are
// ignored, as the RFC lets a server do, and the whole is sent.
func (x *exchange) part(size int64, etag string) (part, error) {
	whole := part{length: size}
	value := x.r.Header.Get("Range")
	if value == "" || x.r.Method == http.MethodHead {
		return whole, nil
	}
	if cond := x.r.Header.Get("If-Range"); cond != "" && cond != etag {
		return whole, nil
	}
	p, err := parseRange(value, size)
	switch {
	case errors.Is(err, errRangeIgnored):
		return whole, nil
	case err != nil:
		x.w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		return part{}, &answer{
			status: http.StatusRequestedRangeNotSatisfiable, code: "RANGE_INVALID", reason: "range",
			message: "the range lies outside of the blob",
		}
	}
	return p, nil
}

var (
	errRangeIgnored = errors.New("not a single range of bytes")
	errRangeOutside = errors.New("range outside")
)

func parseRange(value string, size int64) (part, error) {
	spec, ok := strings.CutPrefix(value, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || !digits(first) || !digits(last) || first+last == "" {
		return part{}, errRangeIgnored
	}
	if first == "" { // the last n bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			n = size
		}
		if n == 0 || size == 0 {
			return part{}, errRangeOutside
		}
		n = min(n, size)
		return part{start: size - n, length: n, partial: true}, nil
	}
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil || start >= size {
		return part{}, errRangeOutside
	}
	end := size - 1
	if last != "" {
		if v, err := strconv.ParseInt(last, 10, 64); err == nil {
			if v < start {
				return part{}, errRangeIgnored
			}
			end = min(end, v)
		}
	}
	return part{start: start, length: end - start + 1, partial: true}, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
