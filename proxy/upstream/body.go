package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// errStalled is the cause with which a body that went silent is cut off.
var errStalled = errors.New("no byte for too long")

// A body is a response body that ends by itself when the upstream goes silent or drips, and that gives its place
// back when it is closed. Only time spent waiting for the upstream counts: a slow reader is not the upstream's fault.
type body struct {
	ctx    context.Context //nolint:containedctx // the lifetime of this one response
	cancel context.CancelCauseFunc
	r      *registry
	rc     io.ReadCloser
	silent *time.Timer
	places chan struct{}
	once   sync.Once

	waited time.Duration // within the present rate window
	got    int64         // bytes within it
	err    error         // stays: it may come beside bytes, and be asked for again
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, r *registry, rc io.ReadCloser, places chan struct{}) *body {
	silent := time.AfterFunc(r.opts.IdleTimeout, func() { cancel(errStalled) })
	silent.Stop()
	return &body{ctx: ctx, cancel: cancel, r: r, rc: rc, silent: silent, places: places}
}

// Read reads from the upstream within the idle timeout and the least rate.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	start := time.Now()
	b.silent.Reset(b.r.opts.IdleTimeout)
	n, err := b.rc.Read(p)
	b.silent.Stop()
	b.r.count.bytes.WithLabelValues(b.r.name).Add(float64(n))
	if err != nil && errors.Is(context.Cause(b.ctx), errStalled) {
		err = fmt.Errorf("%w (%v)", errStalled, b.r.opts.IdleTimeout)
	}
	b.waited += time.Since(start)
	b.got += int64(n)
	if err == nil && b.waited >= b.r.opts.RateWindow {
		if float64(b.got) < float64(b.r.opts.MinRate)*b.waited.Seconds() {
			err = fmt.Errorf("%d bytes in %v: slower than %d a second", b.got, b.waited.Round(time.Second), b.r.opts.MinRate)
		}
		b.waited, b.got = 0, 0
	}
	b.err = err
	return n, err
}

// Close ends the response and frees its place.
func (b *body) Close() error {
	err := b.rc.Close()
	b.once.Do(func() {
		b.silent.Stop()
		b.cancel(nil)
		<-b.places
	})
	return err
}

// readAll reads a whole small body, at most limit bytes.
func (r *registry) readAll(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	if resp.ContentLength > limit {
		return nil, r.tooLarge(limit)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, r.networkFault(ctx, "reading its answer", err)
	}
	if int64(len(b)) > limit {
		return nil, r.tooLarge(limit)
	}
	return b, nil
}

func (r *registry) tooLarge(limit int64) *Error {
	r.count.refused(r.name, reasonTooLarge)
	return r.fault(http.StatusBadGateway, reasonTooLarge, "its answer is larger than %d bytes", limit)
}

// isTimeout reports whether a timeout of ours ran out, as opposed to a fault that came at once.
func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return errors.Is(err, errStalled) || errors.Is(err, os.ErrDeadlineExceeded) || (ok && n.Timeout())
}

// isRefusal reports whether it was we who did not go on: over a certificate, or an address.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusedDialError](err)
	return ok || isTLS(err)
}

func isNoSuchHost(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}
