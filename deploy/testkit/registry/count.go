package registry

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request is one that the registry was asked, with what it answered.
type Request struct {
	Method     string
	Kind       string // manifests, blobs, tags, referrers, or "" for the ping and all else
	Repository string
	Reference  string // tag or digest
	Range      string
	Agent      string
	Status     int
	Bytes      int64 // of the body, as sent
}

// recorder keeps every request that was answered.
type recorder struct {
	mu     sync.Mutex
	list   []Request
	active int // requests whose answer has not ended
}

// settle is how long Requests and Forget wait for answers under way: a client has its last byte before they are counted.
const settle = 500 * time.Millisecond

// Requests returns what the registry has been asked since the start or the last Forget, the ping and challenges
// included.
func (r *Registry) Requests() []Request {
	r.requests.settled()
	r.requests.mu.Lock()
	defer r.requests.mu.Unlock()
	return slices.Clone(r.requests.list)
}

// Forget drops the requests counted so far, those of the test's own pushes above all.
func (r *Registry) Forget() {
	r.requests.settled()
	r.requests.mu.Lock()
	defer r.requests.mu.Unlock()
	r.requests.list = nil
}

// Served returns the requests for content that were answered with it: manifests and blobs, status 2xx.
func (r *Registry) Served() []Request {
	return slices.DeleteFunc(r.Requests(), func(q Request) bool {
		return q.Status/100 != 2 || (q.Kind != "manifests" && q.Kind != "blobs")
	})
}

// Fetches counts the GETs that were answered with content, by digest (by tag where a manifest was asked for by tag).
func (r *Registry) Fetches() map[string]int {
	out := map[string]int{}
	for _, q := range r.Served() {
		if q.Method == http.MethodGet {
			out[q.Reference]++
		}
	}
	return out
}

// Bytes returns how much content was sent.
func (r *Registry) Bytes() int64 {
	var n int64
	for _, q := range r.Served() {
		n += q.Bytes
	}
	return n
}

// settled waits until no answer is under way, within settle.
func (c *recorder) settled() {
	for end := time.Now().Add(settle); c.busy() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (c *recorder) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active > 0
}

func (c *recorder) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		q := parse(req)
		counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { // a client that leaves makes the handler panic with ErrAbortHandler: it counts as well
			q.Status, q.Bytes = counted.status, counted.bytes
			c.mu.Lock()
			defer c.mu.Unlock()
			c.list = append(c.list, q)
			c.active--
		}()
		c.mu.Lock()
		c.active++
		c.mu.Unlock()
		next.ServeHTTP(counted, req)
	})
}

// parse reads /v2/<repository>/<kind>/<reference>.
func parse(req *http.Request) Request {
	q := Request{Method: req.Method, Range: req.Header.Get("Range"), Agent: req.UserAgent()}
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok {
		return q
	}
	for _, kind := range []string{"manifests", "blobs", "tags", "referrers"} {
		if i := strings.LastIndex(path, "/"+kind+"/"); i > 0 {
			q.Kind, q.Repository, q.Reference = kind, path[:i], path[i+len(kind)+2:]
			return q
		}
	}
	return q
}

// countingWriter counts what is sent and keeps the way to sendfile open.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *countingWriter) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
