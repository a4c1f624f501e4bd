package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
)

func TestAdmittedImageIsServedByTagAndDigest(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, config, layers := push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, nil)

	resp, body := r.do("GET", "/v2/app/manifests/1")
	if resp.StatusCode != 200 || resp.Header.Get("Docker-Content-Digest") != digest || resp.Header.Get("Etag") != `"`+digest+`"` {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	head, _ := r.do("HEAD", "/v2/app/manifests/1")
	for _, name := range []string{"Docker-Content-Digest", "Etag", "Content-Type", "Content-Length"} {
		if head.Header.Get(name) != resp.Header.Get(name) {
			t.Errorf("%s: HEAD says %q, GET %q", name, head.Header.Get(name), resp.Header.Get(name))
		}
	}
	if again := r.want(200, "GET", "/v2/library/app/manifests/"+digest); !bytes.Equal(again, body) {
		t.Error("other bytes by digest than by tag")
	}
	r.want(304, "GET", "/v2/app/manifests/1", "If-None-Match", `"`+digest+`"`)
	for _, blob := range append(layers, config) {
		whole := r.want(200, "GET", "/v2/app/blobs/"+blob)
		if !hashesTo(whole, blob) {
			t.Errorf("the bytes of %s do not hash to it", blob)
		}
		part := r.want(206, "GET", "/v2/app/blobs/"+blob, "Range", "bytes=10-19")
		if !bytes.Equal(part, whole[10:20]) {
			t.Errorf("range of %s: %q", blob, part)
		}
		r.want(200, "GET", "/v2/app/blobs/"+blob, "Range", "bytes=0-0,2-3")
		r.want(416, "GET", "/v2/app/blobs/"+blob, "Range", "bytes=99999999-")
		if resp, _ := r.do("HEAD", "/v2/app/blobs/"+blob); resp.ContentLength != int64(len(whole)) {
			t.Errorf("HEAD of %s: length %d", blob, resp.ContentLength)
		}
	}
	for d, n := range up.Fetches() {
		if n > 1 {
			t.Errorf("%s was fetched %d times", d, n)
		}
	}
}

func TestRefusalReadsTheSameOnHeadAndGet(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, _, _ := push(t, up, "library/app:1", root(1))
	r := start(t, up.URL, noRoot, nil)

	resp, body := r.do("GET", "/v2/app/manifests/1")
	got := sentence(t, body)
	if resp.StatusCode != 403 || !strings.HasPrefix(got, "DENIED no-root: docker.io/library/app:1 ") || !strings.Contains(got, "; why: "+r.url+"/why/") {
		t.Fatalf("%s: %s", resp.Status, got)
	}
	if len(got) > 300+len("DENIED ") || resp.Header.Get("Warning") == "" || resp.Header.Get("Etag") != "" || resp.Header.Get("Docker-Content-Digest") != "" {
		t.Errorf("%d bytes, %v", len(got), resp.Header)
	}
	head, _ := r.do("HEAD", "/v2/app/manifests/1", "If-None-Match", `"`+digest+`"`)
	if head.Status != "403 "+strings.TrimPrefix(got, "DENIED ") {
		t.Errorf("HEAD: %q, GET: %q", head.Status, got)
	}
	byDigest := sentence(t, r.want(403, "GET", "/v2/app/manifests/"+digest))
	if why(byDigest) != why(got) {
		t.Errorf("one digest and revision, two ids: %q and %q", byDigest, got)
	}
	page := string(r.want(200, "GET", strings.TrimPrefix(why(got), r.url), "Accept", "text/html"))
	for _, want := range []string{"no-root", digest, "What to do"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if json := r.want(200, "GET", strings.TrimPrefix(why(got), r.url), "Accept", "application/json"); !bytes.Contains(json, []byte(`"rule": "no-root"`)) {
		t.Errorf("%s", json)
	}
	r.want(404, "GET", "/why/0123456789abcdef")
	for _, x := range r.records(audit.EventDecided) {
		if x.Decision != "deny" || x.Rules[0] != "no-root" || x.Digest.Resolved != digest || x.Digest.Served != "" {
			t.Errorf("%+v", x)
		}
	}
}

func why(sentence string) string {
	_, address, _ := strings.Cut(sentence, "why: ")
	return address
}

func TestBlobOfRefusedManifestIsUnknown(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, config, layers := push(t, up, "library/bad:1", root(1))
	push(t, up, "library/fine:1", good(2))
	r := start(t, up.URL, noRoot, nil)
	r.want(403, "GET", "/v2/bad/manifests/1")
	r.want(200, "GET", "/v2/fine/manifests/1")
	up.Forget()
	for _, blob := range append(layers, config) {
		for _, repository := range []string{"bad", "fine", "other"} {
			path := "/v2/" + repository + "/blobs/" + blob
			if got := sentence(t, r.want(404, "GET", path)); !strings.HasPrefix(got, "BLOB_UNKNOWN") {
				t.Error(got)
			}
			r.want(404, "GET", path, "Range", "bytes=0-9")
			r.want(404, "HEAD", path)
			// distribution gives a configuration out as a manifest: it is none.
			if resp, body := r.do("GET", "/v2/"+repository+"/manifests/"+blob); resp.StatusCode != 404 && resp.StatusCode != 403 {
				t.Errorf("%s at manifests of %s: %s %s", blob, repository, resp.Status, body)
			}
		}
	}
	for _, x := range up.Served() {
		if x.Kind == "blob" {
			t.Errorf("the upstream was asked %s %s", x.Method, x.Kind)
		}
	}
}

func TestBlobSharedWithAnAdmittedImageIsServed(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:bad", root(1))
	_, _, same := push(t, up, "library/app:good", good(1))
	if layers[0] != same[0] {
		t.Fatal("the samples share no layer")
	}
	r := start(t, up.URL, noRoot, nil)
	r.want(403, "GET", "/v2/app/manifests/bad")
	r.want(404, "GET", "/v2/app/blobs/"+layers[0])
	r.want(200, "GET", "/v2/app/manifests/good")
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])
}

func TestChildOfAnIndexIsJudgedByItself(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	fine, bad := images.New(t, good(1)), images.New(t, images.Spec{Arch: "arm64", Seed: 2})
	up.Push(t, "library/app:1", images.Index(t, false, fine, bad))
	fineDigest, _, _ := images.Digests(t, fine)
	badDigest, badConfig, badLayers := images.Digests(t, bad)
	r := start(t, up.URL, noRoot, nil)

	r.want(200, "GET", "/v2/app/manifests/1")
	// A child is no blob: by that way it would be served without its verdict.
	r.want(404, "GET", "/v2/app/blobs/"+badDigest)
	r.want(404, "GET", "/v2/app/blobs/"+fineDigest)
	r.want(200, "GET", "/v2/app/manifests/"+fineDigest)
	if got := sentence(t, r.want(403, "GET", "/v2/app/manifests/"+badDigest)); !strings.Contains(got, "app:1 ") {
		t.Errorf("the refusal does not name the tag the child was reached by: %s", got)
	}
	for _, blob := range append(badLayers, badConfig) {
		r.want(404, "GET", "/v2/app/blobs/"+blob)
	}
}

func TestTagScopedPolicyAdmitsTheDigestItLedTo(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	first, _, layers := push(t, up, "library/app:1", good(1))
	second, _, _ := push(t, up, "library/app:2", good(2))
	r := start(t, up.URL, strings.Replace(noRoot, `"**"`, `"docker.io/library/app:1"`, 1), nil)

	r.want(403, "GET", "/v2/app/manifests/"+first)
	r.want(200, "HEAD", "/v2/app/manifests/1")
	r.want(200, "GET", "/v2/app/manifests/"+first)
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])
	r.want(403, "GET", "/v2/app/manifests/2")
	r.want(403, "GET", "/v2/app/manifests/"+second)
}

func TestTightenedPolicyRefusesManifestAndBlobs(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, config, layers := push(t, up, "library/app:1", root(1))
	r := start(t, up.URL, strings.Replace(noRoot, "deny", "warn", 1), nil)
	resp, _ := r.do("GET", "/v2/app/manifests/1")
	if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Warning"), "no-root") {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	r.want(200, "GET", "/v2/app/blobs/"+layers[0])

	up.Close() // from here on everything is decided from what is held
	r.write(noRoot)
	r.reload(r.load)
	r.want(403, "GET", "/v2/app/manifests/1")
	r.want(403, "GET", "/v2/app/manifests/"+digest)
	for _, blob := range append(layers, config) {
		r.want(403, "GET", "/v2/app/blobs/"+blob)
	}
	r.write("nonsense")
	r.reload(r.load)
	r.want(403, "GET", "/v2/app/manifests/1")
	r.write(strings.Replace(noRoot, "deny", "warn", 1))
	r.reload(r.load)
	r.want(200, "GET", "/v2/app/manifests/1")
}
