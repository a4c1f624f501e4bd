package registry

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // access controller "htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"    // access controller "token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // storage driver "filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// Auth is how a registry knows its clients.
type Auth string

const (
	Open  Auth = ""      // anybody may read and write
	Basic Auth = "basic" // user and password with each request
	Token Auth = "token" // a bearer token from a server of its own, as on Docker Hub
)

// User and Password open a registry that is not Open.
const (
	User     = "puller"
	Password = "pa55-w0rd-of-the-upstream"
)

// Options of a registry. The zero value is an open one over HTTP.
type Options struct {
	Auth      Auth
	Anonymous bool // with Token: tokens for pulling are given to anybody, as on Docker Hub
	TLS       bool // with a certificate of a CA of its own
	Shape     Shape
}

// A Registry is one running upstream.
type Registry struct {
	Addr   string // host:port
	URL    string // scheme://host:port
	CA     []byte // PEM of the CA that signed its certificate; nil over HTTP
	Realm  string // URL of the token server; empty without one
	Tokens *TokenServer

	open     bool
	requests recorder
	shape    shaper
	server   *httptest.Server
	stop     sync.Once
}

// Start runs a registry until the test ends.
func Start(t testing.TB, o Options) *Registry {
	t.Helper()
	silence.Do(func() { logrus.SetOutput(io.Discard) }) // distribution logs each request with the standard logger
	dir := t.TempDir()
	r := &Registry{open: o.Auth == Open}
	r.shape.set(o.Shape)

	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem":  {"rootdirectory": dir},
		"delete":      {"enabled": true},
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = "the same for all: no upload outlives the test"
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"} // layers that are elsewhere may be pushed
	switch o.Auth {
	case Open:
	case Basic:
		config.Auth = configuration.Auth{"htpasswd": {"realm": "upstream", "path": htpasswd(t, dir)}}
	case Token:
		r.Tokens = newTokenServer(t, o.Anonymous)
		r.Realm = r.Tokens.URL
		config.Auth = configuration.Auth{"token": r.Tokens.options(t, dir)}
	}

	ctx, cancel := context.WithCancel(context.Background()) // ends with the test, after the server
	app := handlers.NewApp(ctx, config)
	r.server = httptest.NewUnstartedServer(r.requests.count(r.shape.limit(app)))
	if o.TLS {
		r.server.StartTLS()
		r.CA = pemCertificate(r.server.Certificate())
	} else {
		r.server.Start()
	}
	r.URL = r.server.URL
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatalf("reading the address of the registry: %v", err)
	}
	r.Addr = u.Host
	t.Cleanup(func() { r.Close(); cancel(); _ = app.Shutdown() })
	return r
}

// Close stops the registry: connections are cut and the port refuses from then on, as when its machine goes down.
func (r *Registry) Close() {
	r.stop.Do(func() {
		r.server.CloseClientConnections()
		r.server.Close()
		if r.Tokens != nil {
			r.Tokens.server.Close()
		}
	})
}

// Shape changes how the registry answers from now on.
func (r *Registry) Shape(s Shape) { r.shape.set(s) }

// Client returns an HTTP client that trusts the registry's certificate.
func (r *Registry) Client() *http.Client { return r.server.Client() }

// CAFile writes the registry's CA where a program can read it.
func (r *Registry) CAFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, r.CA, 0o644); err != nil {
		t.Fatalf("writing the CA: %v", err)
	}
	return path
}

// PoolOf returns the registry's CA as a pool.
func (r *Registry) PoolOf() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.CA)
	return pool
}

// PasswordFile writes Password where a program can read it, and nobody else.
func PasswordFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(Password+"\n"), 0o600); err != nil {
		t.Fatalf("writing the password: %v", err)
	}
	return path
}

// Unreachable returns the URL of a registry that refuses connections.
func Unreachable(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

var silence sync.Once

func htpasswd(t testing.TB, dir string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
	if err != nil {
		t.Fatalf("hashing the password: %v", err)
	}
	path := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(path, []byte(User+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatalf("writing htpasswd: %v", err)
	}
	return path
}
