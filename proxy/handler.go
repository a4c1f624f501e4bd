package proxy

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/proxy/admission"
	"github.com/winnow-registry/winnow/proxy/audit"
)

// Options holds what a Handler needs.
type Options struct {
	Names      *Names
	Gate       *admission.Gate
	Audit      *audit.Log
	Auth       *Authenticator        // nil: anonymous pulls
	PublicURL  string                // how people reach this listener; empty: scheme and Host of the request
	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: none
}

// A Handler answers /v2/ and /why/, and nothing else.
type Handler struct {
	Options
	names     atomic.Pointer[Names]
	metrics   metrics
	exchanges sync.Pool // of *exchange, cleared
}

// Rename makes names hold from the next request on.
func (h *Handler) Rename(names *Names) { h.names.Store(names) }

// New returns a handler.
func New(opts Options) *Handler {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	opts.PublicURL = strings.TrimSuffix(opts.PublicURL, "/")
	h := &Handler{Options: opts}
	h.Rename(opts.Names)
	h.metrics.register(opts.Registerer)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head["X-Content-Type-Options"] = noSniff
	switch {
	case r.URL.Path == "/v2/" || r.URL.Path == "/v2":
		head["Docker-Distribution-Api-Version"] = apiVersion
		h.ping(w, r)
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		head["Docker-Distribution-Api-Version"] = apiVersion
		h.pull(w, r)
	case strings.HasPrefix(r.URL.Path, "/why/"):
		h.why(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Header values that never change are shared: net/http only reads them.
var (
	noSniff    = []string{"nosniff"}
	apiVersion = []string{"registry/2.0"}
	octets     = []string{"application/octet-stream"}
	bytesUnit  = []string{"bytes"}
)

// pull answers everything under /v2/ but the ping, on record from its first to its last byte.
func (h *Handler) pull(w http.ResponseWriter, r *http.Request) {
	x := h.begin(w, r)
	defer x.end()
	if err := x.serve(); err != nil {
		x.fail(err)
	}
}

func (x *exchange) serve() error {
	var err error
	if x.req, err = x.h.names.Load().parse(x.r); err != nil {
		return err
	}
	if x.who, err = x.h.Auth.identify(x.r); err != nil {
		return err
	}
	switch x.req.Kind {
	case KindManifest:
		return x.manifest()
	case KindBlob:
		return x.blob()
	case KindTags:
		return x.tags()
	case KindReferrers:
		return x.referrers()
	}
	return badRequest("UNSUPPORTED", http.StatusNotFound, "there is nothing of that name here")
}

// ping answers /v2/: this is a registry, and whether credentials are wanted. It is no pull, and not on record.
func (h *Handler) ping(w http.ResponseWriter, r *http.Request) {
	patient(w)
	x := &exchange{h: h, w: w, r: r, req: Request{Kind: KindPing}}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		x.writeError(&answer{code: "UNSUPPORTED", status: http.StatusMethodNotAllowed, message: "this registry is for pulling only"})
		return
	}
	if _, err := h.Auth.identify(r); err != nil {
		x.writeError(x.answerTo(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "2")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte("{}")) // a client that left needs no ping
	}
}
