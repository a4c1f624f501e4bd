package upstream_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // the registry of distribution logs each request
	// distribution's registry starts one of these per instance, and has nothing that ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// hostOf returns the host:port of a test server.
func hostOf(server *httptest.Server) string { return server.Listener.Addr().String() }

// serve starts a server that does not print what broken connections make net/http say.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// newClient returns a Client that ends with the test.
func newClient(t *testing.T, opts upstream.Options, endpoints ...upstream.Endpoint) *upstream.Client {
	t.Helper()
	if opts.Proxy == nil {
		opts.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	c, err := upstream.New(endpoints, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// at is the endpoint u of a test server: private, since it is on loopback.
func at(server *httptest.Server) upstream.Endpoint {
	return upstream.Endpoint{Name: "u", URL: server.URL, Private: true}
}

// distribution starts a real registry on the files under root.
func distribution(t *testing.T, root string, auth configuration.Auth) http.Handler {
	t.Helper()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": root},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth: auth,
	}
	config.HTTP.Secret = "only for tests"
	config.Catalog.MaxEntries = 100
	config.HTTP.RelativeURLs = true
	app := handlers.NewApp(t.Context(), config)
	t.Cleanup(func() { _ = app.Shutdown() })
	return app
}

// push puts an image into the registry under root, and returns it.
func push(t *testing.T, root, repository, tag string, size int64) v1.Image {
	t.Helper()
	server := serve(t, distribution(t, root, nil))
	img, err := random.Image(size, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(hostOf(server)+"/"+repository+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if err := remote.Write(ref, img, remote.WithTransport(transport)); err != nil {
		t.Fatal(err)
	}
	return img
}

// htpasswd protects a registry with one user.
func htpasswd(t *testing.T, user, password string) configuration.Auth {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "htpasswd", user+":"+string(hash)+"\n")
	return configuration.Auth{"htpasswd": {"realm": "test", "path": file}}
}

// write makes a file that ends with the test.
func write(t *testing.T, base, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), base)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A tokenServer signs tokens that a distribution registry believes.
type tokenServer struct {
	*httptest.Server
	auth   configuration.Auth
	asked  atomic.Int64
	scopes chan string
	life   int // expires_in
}

func newTokenServer(t *testing.T, user, password string) *tokenServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "test"},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: key.Public(), KeyID: "test", Algorithm: string(jose.ES256), Use: "sig",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &tokenServer{scopes: make(chan string, 100), life: 300}
	s.Server = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		gotUser, gotPassword, _ := r.BasicAuth()
		if gotUser != user || gotPassword != password {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		s.scopes <- r.URL.Query().Get("scope")
		part := strings.Split(r.URL.Query().Get("scope"), ":")
		now := time.Now()
		text, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": "test", "sub": "us", "aud": r.URL.Query().Get("service"), "jti": fmt.Sprint(s.asked.Load()),
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"access": []map[string]any{{"type": part[0], "name": part[1], "actions": strings.Split(part[2], ",")}},
		}).Serialize()
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": text, "expires_in": s.life})
	}))
	s.auth = configuration.Auth{"token": {
		"realm": s.URL + "/token", "service": "registry.test", "issuer": "test",
		"jwks": write(t, "jwks.json", string(public)), "signingalgorithms": []any{"ES256"},
	}}
	return s
}

// checkPull pulls an image whole, as admission does, and compares its bytes.
func checkPull(t *testing.T, c *upstream.Client, repository, tag string, want v1.Image) {
	t.Helper()
	d, err := c.Resolve(t.Context(), "u", repository, tag)
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := want.Digest()
	if d.Digest != digest.String() {
		t.Fatalf("resolved %s, want %s", d.Digest, digest)
	}
	raw, mediaType, err := c.Manifest(t.Context(), "u", repository, d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	wantRaw, _ := want.RawManifest()
	if !bytes.Equal(raw, wantRaw) || mediaType != d.MediaType || d.Size != int64(len(raw)) {
		t.Fatalf("manifest of %d bytes and type %q, want %d and %q", len(raw), mediaType, d.Size, d.MediaType)
	}
	layers, _ := want.Layers()
	for _, layer := range layers {
		digest, _ := layer.Digest()
		size, _ := layer.Size()
		body, err := c.Blob(t.Context(), "u", repository, digest.String(), size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		rc, _ := layer.Compressed()
		bytesWanted, _ := io.ReadAll(rc)
		if err != nil || !bytes.Equal(got, bytesWanted) {
			t.Fatalf("layer: %d bytes, want %d (%v)", len(got), len(bytesWanted), err)
		}
	}
}
