package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
)

const noRoot = `apiVersion: winnow/v1
kind: Policy
metadata: {name: test}
spec:
  images: {include: ["**"]}
  rules:
    - {id: no-root, use: config.non-root, action: deny}
`

// A rig is the whole daemon in this process, in front of a real registry.
type rig struct {
	*daemon
	t      *testing.T
	url    string
	policy string // path of its policy file
	load   loader
}

// start runs a daemon before upstream until the test ends. change may alter its configuration.
func start(t *testing.T, upstreamURL string, documents string, change func(*configs.Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	c := configs.Default()
	c.Upstreams = map[string]configs.Upstream{"docker.io": {URL: upstreamURL, Private: true}}
	c.DefaultUpstream = "docker.io"
	c.Store.Parameters = map[string]any{"rootdirectory": filepath.Join(dir, "store")}
	c.Cache.Embedded.Path = filepath.Join(dir, "cache.db")
	c.Audit.Path = filepath.Join(dir, "audit")
	r := &rig{t: t, policy: filepath.Join(dir, "policy.yaml")}
	r.write(documents)
	c.Policy.Paths = []string{r.policy}
	if change != nil {
		change(&c)
	}
	r.load = func() (*configs.Config, error) { next := c; return &next, nil }
	r.open(&c)
	return r
}

func (r *rig) open(c *configs.Config) {
	r.t.Helper()
	d, err := newDaemon(r.t.Context(), c, zap.NewNop())
	if err != nil {
		r.t.Fatal(err)
	}
	front := httptest.NewServer(d.front)
	r.daemon, r.url = d, front.URL
	r.t.Cleanup(func() {
		front.Close()
		if r.daemon == d {
			_ = d.close() // a test that breaks it on purpose has looked
		}
	})
}

func (r *rig) write(documents string) {
	r.t.Helper()
	if err := os.WriteFile(r.policy, []byte(documents), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// do sends a request without following redirects and returns the answer with its body.
func (r *rig) do(method, path string, header ...string) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && method != http.MethodHead {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, body
}

// want checks the status of an answer and returns its body.
func (r *rig) want(status int, method, path string, header ...string) []byte {
	r.t.Helper()
	resp, body := r.do(method, path, header...)
	if resp.StatusCode != status {
		r.t.Fatalf("%s %s: %s, want %d: %.300s", method, path, resp.Status, status, body)
	}
	return body
}

// records returns what the audit log holds of event, after everything queued is written.
func (r *rig) records(event string) (out []audit.Record) {
	r.t.Helper()
	if err := r.audit.Decided(context.Background(), &audit.Record{Event: "test.flush", Decision: "admit"}); err != nil {
		r.t.Fatal(err)
	}
	err := audit.Query(r.config.Audit.Path, audit.Filter{Event: event}, func(x audit.Record) error {
		out = append(out, x)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// sentence returns the one message of an error body.
func sentence(t *testing.T, body []byte) string {
	t.Helper()
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) != 1 {
		t.Fatalf("not one error: %s (%v)", body, err)
	}
	if strings.Contains(string(body), `"detail"`) {
		t.Errorf("an error with a detail: %s", body)
	}
	return e.Errors[0].Code + " " + e.Errors[0].Message
}

func good(seed uint64) images.Spec {
	return images.Spec{User: images.NonRoot, Data: []int{20_000, 30_000}, Seed: seed}
}

func root(seed uint64) images.Spec { return images.Spec{Data: []int{20_000, 30_000}, Seed: seed} }

func push(t *testing.T, up *registry.Registry, ref string, s images.Spec) (digest string, config string, layers []string) {
	t.Helper()
	image := images.New(t, s)
	up.Push(t, ref, image)
	return images.Digests(t, image)
}

func manifestOf(t *testing.T, body []byte) v1.Manifest {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// eventually waits for ok, for what happens in the background.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func hashesTo(b []byte, digest string) bool {
	sum := sha256.Sum256(b)
	return digest == "sha256:"+hex.EncodeToString(sum[:])
}
