package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
	"github.com/winnow-registry/winnow/proxy/store/storetest"
)

func TestRedirectLeadsOnlyToWhatTheStoreHolds(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:1", good(1))
	s3 := storetest.StartS3(t)
	r := start(t, up.URL, noRoot, func(c *configs.Config) {
		c.Store.Driver, c.Store.Parameters, c.Store.Redirect = "s3", s3.Parameters(), true
	})
	r.want(200, "GET", "/v2/app/manifests/1")
	if body := r.want(200, "GET", "/v2/app/blobs/"+layers[0]); !hashesTo(body, layers[0]) {
		t.Error("a cold blob is not itself")
	}
	var there string
	eventually(t, "a redirect to what is held by now", func() bool {
		resp, _ := r.do("GET", "/v2/app/blobs/"+layers[0])
		there = resp.Header.Get("Location")
		return resp.StatusCode == 307
	})
	resp, err := http.Get(there)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("following it: %s", resp.Status)
	}
	if err := r.store.Discard(t.Context(), layers[0]); err != nil {
		t.Fatal(err)
	}
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])
}

func TestClientThatLeavesHasOneDecisionOnRecord(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 20 {
		func() {
			defer func() { _ = recover() }() // how a handler cuts a connection
			r.front.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/v2/app/manifests/1", nil))
		}()
	}
	count := map[string]int{}
	for _, x := range append(r.records(audit.EventDecided), r.records(audit.EventCompleted)...) {
		count[x.ID+" "+x.Event]++
	}
	if len(count) != 42 {
		t.Errorf("%d kinds of records of 21 requests", len(count))
	}
	for what, n := range count {
		if n != 1 {
			t.Errorf("%s: %d times", what, n)
		}
	}
}
