package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Limits that are not worth a setting.
const (
	keepAlive      = 30 * time.Second // probes that find a dead peer behind a silent network
	idleConnection = 90 * time.Second // how long a pooled connection waits; below what load balancers allow
	maxHeaders     = 64 << 10         // bytes of response headers; signed Locations are long, a flood is longer
	maxManifest    = 4 << 20          // bytes of a manifest: the distribution spec's least limit, and everybody's most
)

// An Endpoint is one upstream registry.
type Endpoint struct {
	Name             string   // what clients call it, e.g. docker.io or registry.corp:5443
	URL              string   // scheme and host, e.g. https://registry-1.docker.io; empty = https://<Name>
	Private          bool     // may be at a private or loopback address, and may speak plain http
	Username         string   // with PasswordFile
	PasswordFile     string   // read again whenever it changes
	CredentialHelper string   // asks docker-credential-<name>; "docker" = what Docker's config.json says
	CAFile           string   // PEM roots, in addition to the system's
	TokenServers     []string // host or host:port that may issue its tokens, besides itself
	BlobHosts        []string // host or host:port that it may redirect to, besides itself
}

// Options configure a [Client]. The zero value is usable.
type Options struct {
	ConnectTimeout time.Duration // name, connection; also each half of a TLS handshake. Default 2.5 s
	HeaderTimeout  time.Duration // from a request sent to its response headers. Default 10 s
	IdleTimeout    time.Duration // longest silence within a body. Default 15 s
	CallTimeout    time.Duration // a whole call other than Blob. Default 30 s
	RateWindow     time.Duration // over which MinRate is measured. Default 20 s
	MinRate        int64         // bytes a second below which a body counts as stalled. Default 2 KiB
	Retries        int           // more tries after a passing fault. Default 2; negative = none
	Resumes        int           // tries to resume a blob without progress between them. Default 6
	Requests       int           // concurrent small requests per upstream. Default 64
	Streams        int           // concurrent blobs per upstream. Default 48

	BreakerFailures int           // consecutive faults of a host that open its circuit. Default 5
	BreakerPause    time.Duration // first pause of an open circuit, doubled up to 16 times that. Default 1 s

	// Proxy names the egress proxy of a request; nil = http.ProxyFromEnvironment. The proxy may be at a private
	// address.
	Proxy func(*http.Request) (*url.URL, error)
	// Resolver resolves host names; nil = the system's.
	Resolver *net.Resolver
	// DockerConfig is the folder of Docker's config.json; empty = $DOCKER_CONFIG or ~/.docker.
	DockerConfig string
	// UserAgent is sent with each request; empty = winnow.
	UserAgent string

	Log        *zap.Logger           // nil = none
	Registerer prometheus.Registerer // nil = no metrics
}

func (o *Options) setDefaults() {
	setDefault(&o.ConnectTimeout, 2500*time.Millisecond)
	setDefault(&o.HeaderTimeout, 10*time.Second)
	setDefault(&o.IdleTimeout, 15*time.Second)
	setDefault(&o.CallTimeout, 30*time.Second)
	setDefault(&o.RateWindow, 20*time.Second)
	setDefault(&o.MinRate, 2<<10)
	setDefault(&o.Retries, 2)
	setDefault(&o.Resumes, 6)
	setDefault(&o.Requests, 64)
	setDefault(&o.Streams, 48)
	setDefault(&o.BreakerFailures, 5)
	setDefault(&o.BreakerPause, time.Second)
	setDefault(&o.UserAgent, "winnow")
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
}

func setDefault[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}

// A Client fetches from a closed list of registries. It is safe for concurrent use.
type Client struct {
	opts  Options
	count *counters

	mu         sync.RWMutex
	registries map[string]*registry
}

// New returns a Client for the endpoints. A bad endpoint is an error that names it and its key; nothing is dialled.
func New(endpoints []Endpoint, opts Options) (*Client, error) {
	opts.setDefaults()
	count, err := newCounters(opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	c := &Client{opts: opts, count: count}
	if err := c.Reload(endpoints); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload replaces the endpoints. Credentials and roots are read again; what was learned of a host (its circuit, its
// pause after 429) stays where the endpoint stays. On an error everything is left as it was. Requests under way end
// by the endpoint they began with.
func (c *Client) Reload(endpoints []Endpoint) error {
	next := make(map[string]*registry, len(endpoints))
	var errs []error
	for _, e := range endpoints {
		r, err := newRegistry(e, &c.opts, c.count)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("upstream %s: %w", e.Name, err))
		case next[e.Name] != nil:
			errs = append(errs, fmt.Errorf("upstream %s: named twice", e.Name))
		default:
			next[e.Name] = r
		}
	}
	if len(errs) > 0 {
		for _, r := range next {
			r.close()
		}
		return errors.Join(errs...)
	}
	c.mu.Lock()
	last := c.registries
	for name, r := range next {
		if old := last[name]; old != nil && old.base.String() == r.base.String() {
			r.health = old.health
		}
	}
	c.registries = next
	c.mu.Unlock()
	for _, r := range last {
		r.close()
	}
	return nil
}

// Close closes the connections that wait in the pools. Requests under way are not cut off.
func (c *Client) Close() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, r := range c.registries {
		r.close()
	}
	return nil
}

// registry returns the upstream of that name. An unknown one costs no lookup and no dial.
func (c *Client) registry(name string) (*registry, error) {
	c.mu.RLock()
	r := c.registries[name]
	c.mu.RUnlock()
	if r == nil {
		return nil, &Error{
			Status: http.StatusNotFound, Code: reasonUnknownUpstream, Upstream: printable(name),
			Err: errors.New("not in the list of upstreams"),
		}
	}
	return r, nil
}

// call returns the registry, and a context that bounds a whole call.
func (c *Client) call(ctx context.Context, name string) (*registry, context.Context, context.CancelFunc, error) {
	r, err := c.registry(name)
	if err != nil {
		return nil, nil, nil, err
	}
	timeout := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "no whole answer within %v", c.opts.CallTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.CallTimeout, timeout)
	return r, ctx, cancel, nil
}
