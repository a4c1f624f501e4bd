package upstream_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

// someBytes returns n bytes that are the same in each run.
func someBytes(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b)
	return b
}

// pull reads a blob whole.
func pull(t *testing.T, c *upstream.Client, b []byte) ([]byte, error) {
	t.Helper()
	body, err := c.Blob(t.Context(), "u", "a", sum(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// flaky serves b as storage does, and cuts the first answers off after the given numbers of bytes.
func flaky(b []byte, cuts ...int) (http.HandlerFunc, *atomic.Int64) {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		w.Header().Set("ETag", `"x"`)
		if n > len(cuts) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
			return
		}
		http.ServeContent(&cutWriter{ResponseWriter: w, left: cuts[n-1]}, r, "", time.Time{}, bytes.NewReader(b))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, &asked
}

// A cutWriter drops what comes after a number of bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		p = p[:c.left]
	}
	c.left -= len(p)
	n, err := c.ResponseWriter.Write(p)
	if err == nil && c.left == 0 {
		err = io.ErrShortWrite
	}
	return n, err
}

// FM-07 and HC-126: a blob that breaks goes on where it broke.
func TestBrokenBlobIsResumed(t *testing.T) {
	t.Parallel()
	b := someBytes(1 << 20)
	for _, cuts := range [][]int{
		{0}, {10_000}, {len(b) / 2}, {len(b) - len(b)/1000}, {len(b) - 1}, {1000, 1000, 1000},
		{300_000, 300_000, 300_000}, {0, 0},
	} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) {
			t.Parallel()
			handler, asked := flaky(b, cuts...)
			c := newClient(t, quick, at(serve(t, handler)))
			got, err := pull(t, c, b)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%d of %d bytes, %v", len(got), len(b), err)
			}
			if int(asked.Load()) != len(cuts)+1 {
				t.Errorf("%d requests, want %d", asked.Load(), len(cuts)+1)
			}
		})
	}
}

func TestBlobThatKeepsBreakingEnds(t *testing.T) {
	t.Parallel()
	b := someBytes(100_000)
	handler, asked := flaky(b, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100)
	got, err := pull(t, newClient(t, quick, at(serve(t, handler))), b)
	wantError(t, err, 503, "unavailable")
	if len(got) >= len(b) || asked.Load() != 4 {
		t.Errorf("%d bytes after %d requests", len(got), asked.Load())
	}
}

func TestBlobFaults(t *testing.T) {
	t.Parallel()
	b := someBytes(100_000)
	chunked := func(p []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for chunk := range bytes.Lines(p) {
				_, _ = w.Write(chunk)
			}
			w.(http.Flusher).Flush()
		}
	}
	// then answers the first request with half of b, the next by h.
	then := func(h http.HandlerFunc) http.HandlerFunc {
		first, asked := flaky(b, len(b)/2)
		return func(w http.ResponseWriter, r *http.Request) {
			if asked.Load() == 0 {
				first(w, r)
				return
			}
			h(w, r)
		}
	}
	ranged := func(header string, p []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", header)
			w.WriteHeader(206)
			_, _ = w.Write(p)
		}
	}
	half := b[len(b)/2:]
	whole := func(p []byte) http.HandlerFunc { return manifest(p, "Content-Length", strconv.Itoa(len(p))) }
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0 = whole and right
		reason  string
	}{
		{"HC-091 no length, right", chunked(b), 0, ""},
		{"HC-091 length is shorter", whole(b[:99_999]), 502, "invalid_content"},
		{"HC-091 length is longer", whole(someBytes(100_001)), 502, "invalid_content"},
		{"HC-091 no length, longer", chunked(someBytes(100_001)), 502, "invalid_content"},
		{"HC-091 no length, shorter", chunked(b[:99_999]), 502, "invalid_content"},
		{"HC-092 empty", manifest(nil, "Content-Length", "0"), 502, "invalid_content"},
		{"HC-094 encoded", manifest(b, "Content-Encoding", "zstd"), 502, "invalid_content"},
		{"not found", http.NotFound, 404, "not_found"},
		{"resume answered whole", then(whole(b)), 0, ""},
		{"resume answered by another size", then(whole(b[1:])), 502, "invalid_content"},
		{"resume answered by another range", then(ranged("bytes 0-49999/100000", half)), 502, "invalid_content"},
		{"resume answered by another total", then(ranged("bytes 50000-99999/100001", half)), 502, "invalid_content"},
		{"resume of unknown total", then(ranged("bytes 50000-99999/*", half)), 0, ""},
		{"resume answered without a range", then(ranged("", half)), 502, "invalid_content"},
		{"resume finds nothing", then(http.NotFound), 404, "not_found"},
		{"resume is beyond the end", then(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(416) }), 502, "invalid_content"},
		{"HC-127 stalls for good", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, 503, "unavailable"},
		{"HC-127 drips", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			for r.Context().Err() == nil {
				_, _ = w.Write(b[:1])
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, 503, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := pull(t, newClient(t, quick, at(serve(t, tt.handler))), b)
			if tt.status == 0 {
				if err != nil || !bytes.Equal(got, b) {
					t.Fatalf("%d of %d bytes, %v", len(got), len(b), err)
				}
				return
			}
			wantError(t, err, tt.status, tt.reason)
			if len(got) == len(b) {
				t.Error("the last byte was handed out")
			}
		})
	}
}

func TestEmptyBlob(t *testing.T) {
	t.Parallel()
	c := newClient(t, quick, at(serve(t, manifest(nil, "Content-Length", "0"))))
	if got, err := pull(t, c, []byte{}); err != nil || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A reader that takes its time is not the upstream's fault.
func TestSlowReaderIsNotCutOff(t *testing.T) {
	t.Parallel()
	b := someBytes(8 << 20)
	opts := quick
	opts.MinRate = 1 << 20
	c := newClient(t, opts, at(serve(t, manifest(b))))
	body, err := c.Blob(t.Context(), "u", "a", sum(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, 1000); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * quick.IdleTimeout)
	if n, err := io.Copy(io.Discard, body); err != nil || n != int64(len(b)-1000) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// HC-123: a token that expires in the middle of a blob is replaced once the blob has to be asked for again.
func TestTokenExpiresMidBlob(t *testing.T) {
	t.Parallel()
	b := someBytes(500_000)
	var tokens atomic.Int64
	first, asked := flaky(b, len(b)/2)
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"token":"t%d","expires_in":3600}`, tokens.Add(1))
	})
	server := serve(t, mux)
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		valid := "Bearer t1"
		if asked.Load() > 0 {
			valid = "Bearer t2"
		}
		if r.Header.Get("Authorization") != valid {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="s",error="invalid_token"`)
			w.WriteHeader(401)
			return
		}
		first(w, r)
	})
	got, err := pull(t, newClient(t, quick, at(server)), b)
	if err != nil || !bytes.Equal(got, b) || tokens.Load() != 2 {
		t.Errorf("%d bytes with %d tokens, %v", len(got), tokens.Load(), err)
	}
}

// Blobs of a public registry come from another host: it sees no credentials, and only the hosts listed are gone to.
func TestBlobRedirects(t *testing.T) {
	t.Parallel()
	b := someBytes(10_000)
	var seen atomic.Value
	cdn := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization") + r.Header.Get("Cookie"))
		switch {
		case strings.HasSuffix(r.URL.Path, "/again"):
			http.Redirect(w, r, "/blob?sig=SECRET", http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/expired"):
			http.Error(w, "expired", http.StatusForbidden)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		}
	}))
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("was sent to %s", r.URL) }))
	for _, tt := range []struct {
		name, location string
		status         int
		reason         string
	}{
		{"signed URL", cdn.URL + "/blob?sig=SECRET", 0, ""},
		{"two hops", cdn.URL + "/again", 0, ""},
		{"HC-118 loop", cdn.URL + "/loop", 502, "refused_redirect"},
		{"HC-118 unlisted host", other.URL + "/blob", 502, "refused_redirect"},
		{"HC-118 metadata", "http://169.254.169.254/latest/meta-data?sig=SECRET", 502, "refused_redirect"},
		{"HC-118 file", "file:///etc/passwd", 502, "refused_redirect"},
		{"HC-119 userinfo", "http://u:SECRET@" + hostOf(cdn) + "/blob", 502, "refused_redirect"},
		{"name that only ends like the host", "http://evil." + hostOf(cdn) + "/blob", 502, "refused_redirect"},
		{"no URL", "http://[::1/SECRET", 502, "refused_redirect"},
		{"none", "", 502, "refused_redirect"},
		{"FM-12 storage refuses", cdn.URL + "/expired?sig=SECRET", 503, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, _, ok := r.BasicAuth(); !ok {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(401)
					return
				}
				if tt.location != "" {
					w.Header()["Location"] = []string{tt.location}
				}
				w.Header().Set("Set-Cookie", "a=SECRET")
				w.WriteHeader(307)
			})))
			e.BlobHosts = []string{hostOf(cdn)}
			e.Username, e.PasswordFile = "us", write(t, "password", "pw")
			got, err := pull(t, newClient(t, quick, e), b)
			if tt.status == 0 {
				if err != nil || !bytes.Equal(got, b) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			wantError(t, err, tt.status, tt.reason)
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if got := seen.Load(); got != "" {
			t.Errorf("the blob host was given %q", got)
		}
	})
}
