package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
)

func TestNothingIsServedThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:1", good(1))
	push(t, up, "library/bad:1", root(1))
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	if err := r.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if body := r.want(503, "GET", "/v2/app/manifests/1"); bytes.Contains(body, []byte("layers")) {
		t.Errorf("content without a record: %s", body)
	}
	r.want(503, "GET", "/v2/app/blobs/"+layers[0])
	r.want(403, "GET", "/v2/bad/manifests/1")
}

func TestUpstreamDownServesTheOlderResolution(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, func(c *configs.Config) { c.Tags.TTL = configs.Duration(time.Millisecond) })
	r.want(200, "GET", "/v2/app/manifests/1")
	up.Close()
	time.Sleep(5 * time.Millisecond)
	begun := time.Now()
	r.want(200, "GET", "/v2/app/manifests/1")
	resp, _ := r.do("GET", "/v2/cold/manifests/1")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("cold while the upstream is down: %s %v", resp.Status, resp.Header)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("that took %s", took)
	}
	records := r.records(audit.EventDecided)
	if len(records) != 3 || records[0].Stale || !records[1].Stale || !strings.HasPrefix(records[2].Reason, "unavailable") {
		t.Errorf("%+v", records)
	}
}

func TestHeldClientIsToldToAskAgainWhileTheWorkGoesOn(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{Shape: registry.Shape{Latency: 300 * time.Millisecond}})
	push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, func(c *configs.Config) { c.Admission.Hold = configs.Duration(50 * time.Millisecond) })
	resp, body := r.do("GET", "/v2/app/manifests/1")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.HasPrefix(sentence(t, body), "TOOMANYREQUESTS") {
		t.Fatalf("%s %s", resp.Status, body)
	}
	eventually(t, "the verdict that the first request asked for", func() bool {
		resp, _ := r.do("GET", "/v2/app/manifests/1")
		return resp.StatusCode == 200
	})
}

func TestGrantsAreRebuiltFromTheStoreWhenTheCacheIsLost(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, config, layers := push(t, up, "library/app:1", good(1))
	_, _, refused := push(t, up, "library/app:bad", root(2))
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	r.want(403, "GET", "/v2/app/manifests/bad")
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])
	c := r.config
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.Cache.Embedded.Path); err != nil {
		t.Fatal(err)
	}
	up.Forget()
	r.open(c)
	r.want(404, "GET", "/v2/app/blobs/"+refused[0])
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])
	r.want(200, "GET", "/v2/app/blobs/"+config)
	if asked := up.Served(); len(asked) > 0 {
		t.Errorf("the upstream was asked for what is held: %+v", asked)
	}
}
