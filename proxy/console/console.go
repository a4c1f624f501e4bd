// Package console provides the handler of the admin listener: whether the process lives and is ready, its metrics,
// and its profiles.
//
// It has no authentication of its own and changes nothing: bind its listener to loopback or to a network of
// operators. None of its paths exists on the registry listener. Against web pages that reach a loopback listener
// through somebody's browser it answers only to addresses and to names that no stranger can own, and sends no CORS
// header.
package console

import (
	_ "embed"
	"html/template"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options say what the console shows.
type Options struct {
	// Components are what /readyz asks, in this order.
	Components []Component
	// Gatherer holds the metrics; nil means that /metrics is empty.
	Gatherer prometheus.Gatherer
	// Hosts are names, without port, that the console answers to besides addresses, localhost, names without a dot
	// and names of a cluster.
	Hosts []string
	// Version of the program.
	Version string
}

const (
	// maxScrapes bounds the scrapes at a time: a scraper that gives up and returns must not pile them up.
	maxScrapes = 4
	// scrapeTimeout is what Prometheus waits by default.
	scrapeTimeout = 10 * time.Second
)

// New returns the handler.
func New(opts Options) http.Handler {
	if opts.Gatherer == nil {
		opts.Gatherer = prometheus.NewRegistry()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.Handle("GET /readyz", newReadiness(opts.Components, opts.Version))
	mux.Handle("GET /metrics", promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, EnableOpenMetrics: true,
	}))
	// The index serves every runtime profile by name. The command line is left out: it is nobody's business here.
	mux.Handle("GET /debug/pprof/", sameOrigin(pprof.Index))
	mux.Handle("GET /debug/pprof/cmdline", http.NotFoundHandler())
	mux.Handle("GET /debug/pprof/profile", sameOrigin(pprof.Profile))
	mux.Handle("GET /debug/pprof/trace", sameOrigin(pprof.Trace))
	mux.Handle("GET /debug/pprof/symbol", sameOrigin(pprof.Symbol))
	mux.Handle("POST /debug/pprof/symbol", sameOrigin(pprof.Symbol)) // reads only: the addresses are in the body
	mux.HandleFunc("GET /{$}", serveIndex(opts.Version))
	return guard(opts.Hosts, mux)
}

// serveHealth says that the process answers, which is all that a liveness probe should restart it for.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

//go:embed index.html
var indexPage string

func serveIndex(version string) http.HandlerFunc {
	page := template.Must(template.New("index").Parse(indexPage))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, version) // the client left; there is nobody to tell
	}
}
