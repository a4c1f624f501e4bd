package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(h http.Handler, method, host, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEachPageAnswers(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "winnow_test_things", Help: "Things."}))
	h := New(Options{Gatherer: reg, Version: "v1 <beta>"})
	tests := []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/", 200, "Version v1 &lt;beta&gt;"},
		{"GET", "/healthz", 200, "ok"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, `"ready": true`},
		{"GET", "/metrics", 200, "winnow_test_things 0"},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/debug/pprof/cmdline", 404, ""},
		{"GET", "/v2/", 404, ""},
		{"POST", "/healthz", 405, ""},
		{"DELETE", "/metrics", 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			r := get(h, tt.method, "127.0.0.1:5001", tt.path)
			if r.StatusCode != tt.status {
				t.Errorf("status %d, want %d", r.StatusCode, tt.status)
			}
			if b := body(t, r); !strings.Contains(b, tt.contains) {
				t.Errorf("body lacks %q:\n%s", tt.contains, b)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
				t.Errorf("Content-Security-Policy: %q", csp)
			}
		})
	}
}

func TestDNSRebindingIsTurnedAway(t *testing.T) {
	t.Parallel()
	h := New(Options{Hosts: []string{"Winnow.Example.org"}})
	tests := map[string]int{
		"127.0.0.1:5001":                  200,
		"[::1]:5001":                      200,
		"[::1]":                           200,
		"10.244.1.7:5001":                 200,
		"localhost:5001":                  200,
		"localhost.":                      200,
		"LOCALHOST":                       200,
		"winnow:5001":                     200,
		"winnow.ns.svc":                   200,
		"winnow.ns.svc.cluster.local":     200,
		"winnow.example.org:5001":         200,
		"winnow.example.org.":             200,
		"":                                421,
		"evil.example.com:5001":           421,
		"127.0.0.1.evil.example":          421,
		"localhost.evil.example":          421,
		"winnow.example.org.evil.example": 421,
		"2130706433.example":              421,
	}
	for host, want := range tests {
		for _, path := range []string{"/readyz", "/metrics", "/debug/pprof/"} {
			if r := get(h, "GET", host, path); r.StatusCode != want {
				t.Errorf("%s with Host %q: status %d, want %d", path, host, r.StatusCode, want)
			}
		}
	}
}

func TestAPageElsewhereCannotStartAProfile(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	for site, want := range map[string]int{"": 200, "none": 200, "same-origin": 200, "same-site": 403, "cross-site": 403} {
		var header []string
		if site != "" {
			header = []string{"Sec-Fetch-Site", site}
		}
		if r := get(h, "GET", "localhost", "/debug/pprof/heap", header...); r.StatusCode != want {
			t.Errorf("Sec-Fetch-Site %q: status %d, want %d", site, r.StatusCode, want)
		}
	}
}

type readyAnswer struct {
	Ready      bool
	State      State
	Components map[string]Health
}

func ready(t *testing.T, h http.Handler) (int, readyAnswer) {
	t.Helper()
	r := get(h, "GET", "localhost", "/readyz")
	var a readyAnswer
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, a
}

func TestReadinessIsTheWorstOfTheComponents(t *testing.T) {
	t.Parallel()
	fine := func() error { return nil }
	broken := func() error { return errors.New("no space left on device") }
	tests := []struct {
		name       string
		components []Component
		status     int
		want       readyAnswer
	}{
		{"all is well", []Component{Required("audit", fine), Optional("cache", fine)}, 200, readyAnswer{
			true, StateOK, map[string]Health{"audit": {State: StateOK}, "cache": {State: StateOK}},
		}},
		{"Redis is down: degraded, not down", []Component{Required("audit", fine), Optional("cache", broken)}, 200, readyAnswer{
			true, StateDegraded, map[string]Health{"audit": {State: StateOK}, "cache": {StateDegraded, "no space left on device"}},
		}},
		{"the audit log cannot be written", []Component{Required("audit", broken), Optional("cache", broken)}, 503, readyAnswer{
			false, StateDown, map[string]Health{"audit": {StateDown, "no space left on device"}, "cache": {StateDegraded, "no space left on device"}},
		}},
		{"an unknown state is no good one", []Component{{Name: "x", Check: func(context.Context) Health { return Health{State: "sideways"} }}}, 503, readyAnswer{
			false, StateDown, map[string]Health{"x": {State: "sideways"}},
		}},
		{"a check that panics", []Component{{Name: "x", Check: func(context.Context) Health { panic("oops") }}}, 503, readyAnswer{
			false, StateDown, map[string]Health{"x": {StateDown, "the check panicked: oops"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, got := ready(t, New(Options{Components: tt.components}))
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAHungComponentNeitherHangsTheProbeNorGathersGoroutines asks ten times while one check hangs.
func TestAHungComponentNeitherHangsTheProbeNorGathersGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var started atomic.Int32
		hang := func() error { started.Add(1); <-release; return nil }
		h := New(Options{Components: []Component{Optional("cache", hang)}})
		for range 10 {
			status, a := ready(t, h)
			if status != 200 || a.State != StateDegraded || !strings.Contains(a.Components["cache"].Detail, "no answer") {
				t.Fatalf("status %d, %+v; want ready and degraded", status, a)
			}
		}
		if n := started.Load(); n != 1 {
			t.Errorf("%d checks were started, want 1", n)
		}
		close(release)
		synctest.Wait()
		if _, a := ready(t, h); a.State != StateOK {
			t.Errorf("state %s after the component came back", a.State)
		}
	})
}
