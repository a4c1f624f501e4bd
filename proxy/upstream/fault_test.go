package upstream_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

// quick are options under which faults show within a test's patience.
var quick = upstream.Options{
	HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 200 * time.Millisecond, RateWindow: 400 * time.Millisecond,
	MinRate: 100, Resumes: 3,
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// wantError checks how an error is answered, by the methods that other packages see.
func wantError(t *testing.T, err error, status int, reason string) {
	t.Helper()
	answer, ok := errors.AsType[interface {
		error
		StatusCode() int
		RetryAfter() time.Duration
		Reason() string
	}](err)
	if !ok {
		t.Fatalf("error %v says nothing of its answer, want %d %s", err, status, reason)
	}
	if answer.StatusCode() != status || answer.Reason() != reason {
		t.Fatalf("%d %s (%v), want %d %s", answer.StatusCode(), answer.Reason(), err, status, reason)
	}
	if strings.ContainsAny(err.Error(), "\r\n\x1b") {
		t.Errorf("control characters in %q", err)
	}
}

const indexType = "application/vnd.oci.image.index.v1+json"

// manifest answers with b as a manifest, and headers as pairs.
func manifest(b []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", indexType)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(b)
	}
}

func TestManifestFaults(t *testing.T) {
	t.Parallel()
	good := []byte(`{"schemaVersion":2}`)
	huge := make([]byte, 4<<20+1)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"errors":[{"code":"X","message":"a\u001b[31m\nb"}]}`)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		ref     string
		status  int
		reason  string
	}{
		{"HC-051 larger than the cap", manifest(huge), sum(huge), 502, "too_large"},
		{"HC-051 endless without a length", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", indexType)
			for r.Context().Err() == nil {
				if _, err := w.Write(huge[:64<<10]); err != nil {
					return
				}
			}
		}, "t", 502, "too_large"},
		{"HC-079 digest header lies", manifest(good, "Docker-Content-Digest", sum(huge)), "t", 502, "invalid_content"},
		{"HC-080 other bytes than the digest's", manifest(good, "Docker-Content-Digest", sum(huge)), sum(huge), 502, "invalid_content"},
		{"HC-080 other bytes with a correct header", manifest(good, "Docker-Content-Digest", sum(good)), sum(huge), 502, "invalid_content"},
		{"HC-094 encoded", manifest(good, "Content-Encoding", "gzip"), "t", 502, "invalid_content"},
		{"HC-091 shorter than its length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(good)
		}, "t", 503, "unavailable"},
		{"HC-128 huge headers", manifest(good, "X", strings.Repeat("x", 1<<20)), "t", 503, "unavailable"},
		{"206 to a whole request", status(206), "t", 502, "invalid_content"},
		{"not found", status(404), "t", 404, "not_found"},
		{"gone", status(410), "t", 404, "not_found"},
		{"401 without a challenge", status(401), "t", 403, "forbidden"},
		{"403", status(403), "t", 403, "forbidden"},
		{"FM-03 500", status(500), "t", 503, "unavailable"},
		{"FM-03 504", status(504), "t", 503, "unavailable"},
		{"not implemented", status(501), "t", 502, "invalid_content"},
		{"FM-04 429", status(429), "t", 429, "rate_limited"},
		{"HC-118 redirect loop", status(302), "t", 502, "refused_redirect"},
		{"HC-127 stalls before headers", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "t", 503, "unavailable"},
		{"HC-127 stalls after headers", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "t", 503, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, quick, at(serve(t, tt.handler)))
			_, _, err := c.Manifest(t.Context(), "u", "a/b", tt.ref)
			wantError(t, err, tt.status, tt.reason)
		})
	}
}

func TestInvalidNamesNeverReachTheUpstream(t *testing.T) {
	t.Parallel()
	c := newClient(t, quick, at(serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the upstream was asked for %q", r.URL)
	}))))
	for _, repository := range []string{"", "../b", "a/../b", "A/b", "a//b", "a/b?x", "a%2fb", "a\nb", strings.Repeat("a", 256)} {
		_, err := c.Resolve(t.Context(), "u", repository, "t")
		wantError(t, err, 400, "invalid_name")
	}
	for _, ref := range []string{"", ".t", "a/b", "t?n", "sha256:abc", "sha256:../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		_, _, err := c.Manifest(t.Context(), "u", "a", ref)
		wantError(t, err, 400, "invalid_name")
		_, err = c.Blob(t.Context(), "u", "a", ref, 1)
		wantError(t, err, 400, "invalid_name")
		_, _, err = c.Referrers(t.Context(), "u", "a", ref, "")
		wantError(t, err, 400, "invalid_name")
	}
}

func TestResolveFallsBackToGet(t *testing.T) {
	t.Parallel()
	good := []byte(`{"schemaVersion":2}`)
	for _, tt := range []struct {
		name string
		head http.HandlerFunc
	}{
		{"HEAD is not allowed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }},
		{"HEAD is not implemented", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(501) }},
		{"no digest", manifest(nil, "Content-Length", "19")},
		{"a digest of a broken hash", manifest(nil, "Content-Length", "19", "Docker-Content-Digest", "md5:d41d8cd98f00b204e9800998ecf8427e")},
		{"no length", manifest(nil, "Docker-Content-Digest", sum(good), "Transfer-Encoding", "chunked")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, quick, at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					tt.head(w, r)
					return
				}
				if strings.Contains(r.Header.Get("Accept"), "v1+prettyjws") || r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("asked with %v", r.Header)
				}
				manifest(good)(w, r)
			}))))
			d, err := c.Resolve(t.Context(), "u", "a", "t")
			if err != nil || d != (upstream.Descriptor{Digest: sum(good), MediaType: indexType, Size: 19}) {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// FM-01, FM-04 and HC-124: what may pass is tried again, what asks for quiet gets it.
func TestRetriesAndQuiet(t *testing.T) {
	t.Parallel()
	t.Run("500 twice, then right", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int64
		c := newClient(t, quick, at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) < 3 {
				w.WriteHeader(500)
				return
			}
			manifest([]byte("{}"))(w, r)
		}))))
		if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil || asked.Load() != 3 {
			t.Errorf("%d requests, %v", asked.Load(), err)
		}
	})
	t.Run("429 is not asked again", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int64
		c := newClient(t, quick, at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(429)
		}))))
		for range 5 {
			_, _, err := c.Manifest(t.Context(), "u", "a", "t")
			wantError(t, err, 429, "rate_limited")
			if e, _ := errors.AsType[*upstream.Error](err); e.Retry < 25*time.Second || e.Retry > 30*time.Second {
				t.Errorf("retry after %v", e.Retry)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("%d requests, want 1", asked.Load())
		}
	})
	t.Run("refused connection is 503 soon and then at once", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		c := newClient(t, upstream.Options{}, upstream.Endpoint{Name: "u", URL: "http://" + listener.Addr().String(), Private: true})
		for range 2 {
			start := time.Now()
			_, err = c.Resolve(t.Context(), "u", "a", "t")
			wantError(t, err, 503, "unavailable")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		}
		start := time.Now()
		_, err = c.Resolve(t.Context(), "u", "a", "t")
		wantError(t, err, 503, "unavailable")
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("took %v with an open circuit", took)
		}
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(manifest([]byte("{}")))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	plain := serve(t, manifest([]byte("{}")))
	roots := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	_, port, _ := net.SplitHostPort(hostOf(server))
	for _, tt := range []struct {
		name string
		e    upstream.Endpoint
		ok   bool
	}{
		{"own roots", upstream.Endpoint{URL: server.URL, CAFile: roots}, true},
		{"HC-129 unknown authority", upstream.Endpoint{URL: server.URL}, false},
		{"HC-129 other name", upstream.Endpoint{URL: "https://wrong.test:" + port, CAFile: roots}, false},
		{"HC-129 no fallback to http", upstream.Endpoint{URL: "https://" + hostOf(plain)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.e.Name, tt.e.Private = "u", true
			opts := quick
			opts.Resolver = resolver(t, "127.0.0.1")
			c := newClient(t, opts, tt.e)
			for range 7 { // as often as it takes to see that no circuit hides the reason
				_, _, err := c.Manifest(t.Context(), "u", "a", "t")
				if tt.ok && err != nil {
					t.Fatal(err)
				} else if !tt.ok {
					wantError(t, err, 502, "tls")
				}
			}
		})
	}
}

func TestBadEndpointsAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		e    upstream.Endpoint
		want string
	}{
		{upstream.Endpoint{Name: "a", URL: "http://a"}, "plain http needs private: true"},
		{upstream.Endpoint{Name: "a", URL: "ftp://a"}, "write https://host"},
		{upstream.Endpoint{Name: "a", URL: "https://u:p@a"}, "use username and passwordFile"},
		{upstream.Endpoint{Name: "a", URL: "https://a/v2/"}, "must end after the host"},
		{upstream.Endpoint{Name: "a", BlobHosts: []string{"*.a"}}, `blobHosts: "*.a"`},
		{upstream.Endpoint{Name: "a", TokenServers: []string{"https://t"}}, `tokenServers: "https://t"`},
		{upstream.Endpoint{Name: "a", TokenServers: []string{"t:99999"}}, "port must be"},
		{upstream.Endpoint{Name: "a", Username: "u"}, "belong together"},
		{upstream.Endpoint{Name: "a", Username: "u", PasswordFile: "/nonexistent"}, "passwordFile"},
		{upstream.Endpoint{Name: "a", CredentialHelper: "../x"}, "not the name of a helper"},
		{upstream.Endpoint{Name: "a", CredentialHelper: "no-such-helper-here"}, "docker-credential-no-such-helper-here"},
		{upstream.Endpoint{Name: "a", CAFile: write(t, "x", "no pem")}, "no PEM certificate"},
	} {
		_, err := upstream.New([]upstream.Endpoint{tt.e}, upstream.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "upstream a: ") {
			t.Errorf("%+v: %v, want %q", tt.e, err, tt.want)
		}
	}
}

func TestFailedReloadKeepsTheLastEndpoints(t *testing.T) {
	t.Parallel()
	e := at(serve(t, manifest([]byte("{}"))))
	c := newClient(t, quick, e)
	if err := c.Reload([]upstream.Endpoint{e, {Name: "b", URL: "nonsense"}}); err == nil {
		t.Fatal("a bad endpoint was taken")
	}
	if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil {
		t.Error(err)
	}
	if err := c.Reload(nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Manifest(t.Context(), "u", "a", "t")
	wantError(t, err, 404, "unknown_upstream")
}

func TestCallerWhoLeavesDoesNotOpenTheCircuit(t *testing.T) {
	t.Parallel()
	c := newClient(t, upstream.Options{BreakerFailures: 1}, at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			<-r.Context().Done()
			return
		}
		manifest([]byte("{}"))(w, r)
	}))))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := c.Manifest(ctx, "u", "a", "slow"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(fmt.Errorf("want the caller's own end, got %w", err))
	}
	if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil {
		t.Error(err)
	}
}
