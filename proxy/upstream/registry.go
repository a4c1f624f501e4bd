package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// maxProxies bounds the set of egress proxies one upstream has been sent through: a setting names one or two.
const maxProxies = 16

// A registry is one endpoint made ready: what it may dial, how it speaks, what is known of its health.
type registry struct {
	name    string
	base    *url.URL
	opts    *Options
	count   *counters
	hosts   hostRules
	proxies *proxySet
	keys    *keyring
	auth    *authorizer
	health  *health

	transport *http.Transport
	requests  chan struct{} // a place for each small request under way
	streams   chan struct{} // and for each blob, apart, so that slow blobs do not hold up manifests
}

func newRegistry(e Endpoint, opts *Options, count *counters) (*registry, error) {
	base, err := parseBase(e)
	if err != nil {
		return nil, err
	}
	rules, err := newHostRules(e, base)
	if err != nil {
		return nil, err
	}
	roots, err := readRoots(e.CAFile)
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring(e, base, opts.DockerConfig)
	if err != nil {
		return nil, err
	}
	r := &registry{
		name: e.Name, base: base, opts: opts, count: count, hosts: rules, keys: keys,
		proxies:  &proxySet{known: make(map[string]bool)},
		auth:     newAuthorizer(),
		health:   newHealth(opts),
		requests: make(chan struct{}, opts.Requests),
		streams:  make(chan struct{}, opts.Streams),
	}
	r.transport = r.newTransport(roots)
	if base.Scheme == "http" {
		opts.Log.Warn("upstream is spoken to in plain http", zap.String("upstream", e.Name))
	}
	return r, nil
}

func (r *registry) newTransport(roots *x509.CertPool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // see the package comment
	return &http.Transport{
		Proxy:                  r.proxy,
		DialContext:            r.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    2 * r.opts.ConnectTimeout,
		ResponseHeaderTimeout:  r.opts.HeaderTimeout,
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConnsPerHost:    r.opts.Streams,
		IdleConnTimeout:        idleConnection,
		DisableCompression:     true, // bytes are hashed as they were pushed
		ReadBufferSize:         32 << 10,
		Protocols:              &protocols,
	}
}

func (r *registry) close() { r.transport.CloseIdleConnections() }

// proxy names the egress proxy of a request and remembers its address, which the dialer then lets through.
func (r *registry) proxy(req *http.Request) (*url.URL, error) {
	u, err := r.opts.Proxy(req)
	if err != nil || u == nil {
		return u, err
	}
	if err := r.proxies.add(u); err != nil {
		return nil, err
	}
	return u, nil
}

// A proxySet holds the addresses of egress proxies.
type proxySet struct {
	mu    sync.Mutex
	known map[string]bool
}

func (p *proxySet) add(u *url.URL) error {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxProxies && !p.known[host+":"+port] {
		return fmt.Errorf("more than %d egress proxies", maxProxies)
	}
	p.known[host+":"+port] = true
	return nil
}

func (p *proxySet) has(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[address]
}

// parseBase returns where an endpoint is.
func parseBase(e Endpoint) (*url.URL, error) {
	text := e.URL
	switch {
	case e.Name == "":
		return nil, fmt.Errorf("an upstream needs a name")
	case text == "" && e.Name == "docker.io":
		text = "https://registry-1.docker.io"
	case text == "":
		text = "https://" + e.Name
	}
	u, err := url.Parse(text)
	if err != nil {
		// The parser's error repeats its input, which may hold a password.
		return nil, fmt.Errorf("url: not a URL; write https://host or https://host:port")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, fmt.Errorf("url: write https://host or https://host:port")
	case u.User != nil:
		return nil, fmt.Errorf("url: holds credentials; use username and passwordFile")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("url: must end after the host; a registry's API starts at /v2/")
	case u.Scheme == "http" && !e.Private:
		return nil, fmt.Errorf("url: plain http needs private: true")
	}
	if _, err := parseHost(strings.ToLower(u.Host)); err != nil {
		return nil, fmt.Errorf("url: %q: %w", u.Host, err)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// readRoots returns the system's roots and those of file; nil, which means the system's, without a file.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("caFile: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("caFile: reading the system's roots: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile: %s holds no PEM certificate", file)
	}
	return roots, nil
}
