package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

// challenged answers 401 with the header, until a request carries a bearer token.
func challenged(header string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			manifest([]byte("{}"))(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", header)
		w.WriteHeader(401)
	}
}

// HC-114: credentials go to the upstream and its token servers, whatever a challenge names.
func TestRealmElsewhereGetsNoCredentials(t *testing.T) {
	t.Parallel()
	evil := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("was asked for %s with %q", r.URL, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"token":"x"}`)
	}))
	for name, header := range map[string]string{
		"another host":           `Bearer realm="` + evil.URL + `/token",service="s"`,
		"metadata":               `Bearer realm="http://169.254.169.254/latest",service="s"`,
		"beside a basic one":     `Basic realm="x", Bearer realm="` + evil.URL + `/token"`,
		"userinfo":               `Bearer realm="http://auth.docker.io@` + hostOf(evil) + `/token"`,
		"another scheme":         `Bearer realm="file:///etc/passwd"`,
		"no realm":               `Bearer service="s"`,
		"relative":               `Bearer realm="/token"`,
		"another port of itself": `Bearer realm="http://127.0.0.1:1/token"`,
		"host as suffix":         `Bearer realm="http://x.` + hostOf(evil) + `/token"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := at(serve(t, challenged(header)))
			e.Username, e.PasswordFile = "us", write(t, "password", "pw")
			_, _, err := newClient(t, quick, e).Manifest(t.Context(), "u", "a", "t")
			wantError(t, err, 502, "refused_realm")
		})
	}
}

// HC-121 and FM-11.
func TestTokenServerFaults(t *testing.T) {
	t.Parallel()
	body := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(code)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0 = pulled
		reason  string
	}{
		{"token", body(`{"token":"abc"}`), 0, ""},
		{"access_token", body(`{"access_token":"abc","expires_in":-5}`), 0, ""},
		{"absurd expiry", body(`{"token":"abc","expires_in":1e300}`), 0, ""},
		{"too large", body(`{"token":"` + strings.Repeat("a", 10<<20) + `"}`), 502, "invalid_content"},
		{"long token", body(`{"token":"` + strings.Repeat("a", 20<<10) + `"}`), 502, "invalid_content"},
		{"line break in the token", body(`{"token":"a\r\nX-Evil: 1"}`), 502, "invalid_content"},
		{"page for people", body(`<html>`), 502, "invalid_content"},
		{"no token", body(`{}`), 502, "invalid_content"},
		{"redirect", status(302), 502, "refused_redirect"},
		{"refuses the anonymous", status(401), 403, "forbidden"},
		{"forbids", status(403), 403, "forbidden"},
		{"limits", status(429), 429, "rate_limited"},
		{"fails", status(500), 503, "unavailable"},
		{"is elsewhere", status(404), 502, "invalid_content"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tokens := serve(t, tt.handler)
			e := at(serve(t, challenged(`Bearer realm="`+tokens.URL+`/token",service="s",scope="registry:catalog:*"`)))
			e.TokenServers = []string{hostOf(tokens)}
			_, _, err := newClient(t, quick, e).Manifest(t.Context(), "u", "a", "t")
			if tt.status == 0 && err != nil {
				t.Fatal(err)
			} else if tt.status != 0 {
				wantError(t, err, tt.status, tt.reason)
			}
		})
	}
}

// HC-122: what the challenge asks for is not what is asked of the token server.
func TestScopeIsTheRepositoryAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var scopes []string
	tokens := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		scopes = append(scopes, r.URL.Query()["scope"]...)
		_, _ = fmt.Fprintf(w, `{"token":"t%d"}`, len(scopes))
	}))
	e := at(serve(t, challenged(`Bearer realm="`+tokens.URL+`/token?scope=repository:b:push",scope="repository:b:push,pull"`)))
	e.TokenServers = []string{hostOf(tokens)}
	c := newClient(t, quick, e)
	for _, repository := range []string{"a", "a", "x/y"} {
		if _, _, err := c.Manifest(t.Context(), "u", repository, "t"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(scopes, " "); got != "repository:a:pull repository:x/y:pull" {
		t.Errorf("asked for %q", got)
	}
}

// Two hundred callers of one repository share one token, and a caller who leaves takes it from nobody.
func TestTokenIsSharedByWaitingCallers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	release := make(chan struct{})
	tokens := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		_, _ = io.WriteString(w, `{"token":"abc"}`)
	}))
	var refused atomic.Int64
	plain := challenged(`Bearer realm="` + tokens.URL + `/token"`)
	e := at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && refused.Add(1) == 200 {
			close(release)
		}
		plain(w, r)
	})))
	e.TokenServers = []string{hostOf(tokens)}
	c := newClient(t, upstream.Options{Requests: 200}, e)
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if asked.Load() != 1 {
		t.Errorf("%d tokens, want 1", asked.Load())
	}
}

// A registry that moves to another token server, or to passwords, is followed without a restart.
func TestChangedChallengeIsFollowed(t *testing.T) {
	t.Parallel()
	tokens := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"token":"abc"}`) }))
	var basic atomic.Bool
	bearer := challenged(`Bearer realm="` + tokens.URL + `/token"`)
	e := at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, _, ok := r.BasicAuth(); {
		case basic.Load() && ok:
			manifest([]byte("{}"))(w, r)
		case basic.Load():
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(401)
		default:
			bearer(w, r)
		}
	})))
	e.TokenServers = []string{hostOf(tokens)}
	e.Username, e.PasswordFile = "us", write(t, "password", "pw")
	c := newClient(t, quick, e)
	if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil {
		t.Fatal(err)
	}
	basic.Store(true)
	tokens.Close()
	_, _, _ = c.Manifest(t.Context(), "u", "b", "t") // no cached token: may fail, once
	if _, _, err := c.Manifest(t.Context(), "u", "b", "t"); err != nil {
		t.Error(err)
	}
}
