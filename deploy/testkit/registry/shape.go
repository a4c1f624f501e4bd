package registry

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A Shape is how far away and how well a registry is. The zero value answers at once, as fast as it can.
type Shape struct {
	Latency        time.Duration // before each answer
	BytesPerSecond int           // of each answer; 0 = no limit
	Status         int           // answered to every request in place of the registry's own answer; 0 = none
	RetryAfter     string        // sent with Status
}

// shapeChunk is how much is written between two waits: small against a layer, so that the rate is even.
const shapeChunk = 32 << 10

type shaper struct{ now atomic.Pointer[Shape] }

func (s *shaper) set(to Shape) { s.now.Store(&to) }

func (s *shaper) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		shape := s.now.Load()
		if shape.Latency > 0 {
			select {
			case <-time.After(shape.Latency):
			case <-req.Context().Done():
				return
			}
		}
		if shape.Status != 0 {
			if shape.RetryAfter != "" {
				w.Header().Set("Retry-After", shape.RetryAfter)
			}
			http.Error(w, http.StatusText(shape.Status), shape.Status)
			return
		}
		if shape.BytesPerSecond > 0 {
			limiter := rate.NewLimiter(rate.Limit(shape.BytesPerSecond), shapeChunk)
			w = &slowWriter{ResponseWriter: w, ctx: req.Context(), limiter: limiter}
		}
		next.ServeHTTP(w, req)
	})
}

// slowWriter writes no faster than its limiter allows, and shows the client each chunk at once.
type slowWriter struct {
	http.ResponseWriter
	ctx     context.Context // of the one request this writer lives for
	limiter *rate.Limiter
}

func (w *slowWriter) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		chunk := b[:min(len(b), shapeChunk)]
		if err := w.limiter.WaitN(w.ctx, len(chunk)); err != nil {
			return written, err
		}
		n, err := w.ResponseWriter.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}
