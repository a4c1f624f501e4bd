package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

// A gated is an upstream with a refused image, its admitted neighbours, and the program in front.
type gated struct {
	*winnow.Winnow
	upstream *registry.Registry

	good, bad   v1.Image // both in team/app; the first layer is the same
	badDigest   string
	badConfig   string
	badLayer    string // its own layer
	sharedLayer string
	index       string // digest of an index in team/app that lists both
}

func newGated(t *testing.T) *gated {
	t.Helper()
	g := &gated{}
	g.upstream, g.Winnow = oneUpstream(t, winnow.Options{Config: longTTL})
	g.good = images.New(t, images.Spec{User: images.NonRoot, Seed: 7, Data: []int{64 << 10}})
	g.bad = images.New(t, images.Spec{User: images.NonRoot, Env: []string{secret}, Arch: "arm64", Seed: 7, Data: []int{64 << 10, 32 << 10}})
	g.upstream.Push(t, "team/app:good", g.good)
	g.badDigest = g.upstream.Push(t, "team/app:bad", g.bad)
	g.index = g.upstream.Push(t, "team/app:both", images.Index(t, false, g.good, g.bad))
	g.upstream.Push(t, "team/other:1", images.New(t, well(8, 8<<10)))
	subject, err := partial.Descriptor(g.bad)
	if err != nil {
		t.Fatal(err)
	}
	g.upstream.Push(t, "team/app:sbom", images.Artifact(t, "application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`), subject))

	_, config, layers := images.Digests(t, g.bad)
	g.badConfig, g.sharedLayer, g.badLayer = config, layers[0], layers[1]
	return g
}

// ask admits what is to be admitted first, as a client's pull does.
func (g *gated) ask(t *testing.T, method, path string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	return g.Get(t, method, path, append([]string{"Accept", "*/*"}, header...)...)
}

// admit pulls the admitted images, so that their grants exist.
func (g *gated) admit(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/v2/docker.io/team/app/manifests/good", "/v2/docker.io/team/other/manifests/1"} {
		if status, _, body := g.ask(t, http.MethodGet, path); status != http.StatusOK {
			t.Fatalf("GET %s: %d %s", path, status, body)
		}
	}
}

func TestRefusedImageIsRefusedByEveryName(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	for _, ref := range []string{"bad", g.badDigest} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for title, header := range map[string][]string{
				"plain": nil, "if-none-match": {"If-None-Match", `"` + g.badDigest + `"`}, "range": {"Range", "bytes=0-10"},
			} {
				status, head, body := g.ask(t, method, "/v2/docker.io/team/app/manifests/"+ref, header...)
				if status != http.StatusForbidden {
					t.Errorf("%s %s, %s: %d, want 403", method, ref, title, status)
				}
				if head.Get("Docker-Content-Digest") != "" || head.Get("ETag") != "" || head.Get("Warning") == "" {
					t.Errorf("%s %s, %s: headers %v", method, ref, title, head)
				}
				if method == http.MethodHead {
					continue
				}
				code, message := refusal(t, body)
				if code != "DENIED" || len(message) > 300 {
					t.Errorf("refused with %s: %s", code, message)
				}
				names(t, message, "no-secrets", g.Winnow)
				if bytes.Contains(body, []byte("AKIA")) {
					t.Errorf("the refusal tells the secret: %s", body)
				}
			}
		}
	}
	noneFetched(t, g.upstream, layerDigests(t, g.bad))
}

func TestBlobsOfARefusedImageAreUnknown(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.admit(t)
	if status, _, _ := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/manifests/bad"); status != http.StatusForbidden {
		t.Fatalf("the image was not refused: %d", status)
	}
	g.upstream.Forget()
	for _, repository := range []string{"team/app", "team/other", "team/none"} {
		for what, digest := range map[string]string{"config": g.badConfig, "layer": g.badLayer, "manifest": g.badDigest} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for _, header := range [][]string{nil, {"Range", "bytes=0-99"}, {"If-None-Match", `"` + digest + `"`}} {
					path := fmt.Sprintf("/v2/docker.io/%s/blobs/%s", repository, digest)
					status, _, body := g.ask(t, method, path, header...)
					if status != http.StatusNotFound {
						t.Errorf("%s of the refused image, %s from %s %v: %d, want 404", what, method, repository, header, status)
					}
					if method == http.MethodGet {
						if code, _ := refusal(t, body); code != "BLOB_UNKNOWN" {
							t.Errorf("%s from %s: code %s", what, repository, code)
						}
					}
				}
			}
		}
	}
	if asked := g.upstream.Requests(); len(asked) > 0 {
		t.Errorf("the upstream was asked: %+v", asked)
	}
}

func TestLayerSharedWithAnAdmittedImageIsServedInItsRepositoryOnly(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	path := func(repository string) string { return "/v2/docker.io/" + repository + "/blobs/" + g.sharedLayer }
	if status, _, _ := g.ask(t, http.MethodGet, path("team/app")); status != http.StatusNotFound {
		t.Errorf("before any admission: %d, want 404", status)
	}
	g.admit(t)
	if status, _, body := g.ask(t, http.MethodGet, path("team/app")); status != http.StatusOK || len(body) < 64<<10 {
		t.Errorf("in the repository of the admitted image: %d, %d bytes", status, len(body))
	}
	if status, _, _ := g.ask(t, http.MethodGet, path("team/other")); status != http.StatusNotFound {
		t.Errorf("in another repository: %d, want 404", status)
	}
}

func TestRefusedChildOfAnAdmittedIndexIsRefused(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	status, _, raw := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/manifests/both")
	if status != http.StatusOK {
		t.Fatalf("the index: %d %s", status, raw)
	}
	goodDigest, _, _ := images.Digests(t, g.good)
	for digest, want := range map[string]int{goodDigest: http.StatusOK, g.badDigest: http.StatusForbidden} {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			if status, _, body := g.ask(t, method, "/v2/docker.io/team/app/manifests/"+digest); status != want {
				t.Errorf("%s child %s: %d, want %d: %s", method, digest, status, want, body)
			}
		}
	}
	for _, digest := range []string{g.badConfig, g.badLayer} {
		if status, _, _ := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/blobs/"+digest); status != http.StatusNotFound {
			t.Errorf("blob %s of the refused child: %d, want 404", digest, status)
		}
	}
}

func TestReferrersOfARefusedImageGiveNothingOfIt(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.admit(t)
	status, _, body := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/referrers/"+g.badDigest)
	if status == http.StatusOK {
		for _, digest := range []string{g.badConfig, g.badLayer} {
			if bytes.Contains(body, []byte(digest)) {
				t.Errorf("the referrers list %s: %s", digest, body)
			}
		}
	}
	for _, digest := range []string{g.badConfig, g.badLayer} {
		for _, kind := range []string{"manifests", "blobs", "referrers"} {
			status, _, body := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/"+kind+"/"+digest)
			if kind != "referrers" && status == http.StatusOK {
				t.Errorf("%s/%s: %d, %d bytes", kind, digest, status, len(body))
			}
		}
	}
	noneFetched(t, g.upstream, []string{g.badLayer})
}

func TestRefusalsAreAudited(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.ask(t, http.MethodGet, "/v2/docker.io/team/app/manifests/bad")
	g.ask(t, http.MethodGet, "/v2/docker.io/team/app/blobs/"+g.badLayer)
	g.ask(t, http.MethodGet, "/v2/docker.io/team/app/manifests/good")
	decisions := map[string]bool{}
	for _, r := range g.Audit(t) {
		if r.Event == "pull.decided" {
			decisions[fmt.Sprintf("%s %s %s %v", r.Kind, r.Decision, r.Requested, r.Rules)] = true
		}
	}
	for _, want := range []string{
		"manifest deny docker.io/team/app:bad [no-secrets]", "manifest admit docker.io/team/app:good []",
	} {
		if !decisions[want] {
			t.Errorf("no record %q in %v", want, decisions)
		}
	}
	auditIsWhole(t, g.Winnow)
}

func TestWhyPageExplainsTheRefusal(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	_, _, body := g.ask(t, http.MethodGet, "/v2/docker.io/team/app/manifests/bad")
	_, message := refusal(t, body)
	_, page, found := bytes.Cut([]byte(message), []byte("why: "+g.URL))
	if !found {
		t.Fatalf("the refusal names no page: %s", message)
	}
	for accept, want := range map[string]string{"text/html": "no-secrets", "application/json": `"no-secrets"`} {
		status, head, text := g.Get(t, http.MethodGet, string(page), "Accept", accept)
		if status != http.StatusOK || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s as %s: %d %s", page, accept, status, text)
		}
		if bytes.Contains(text, []byte("AKIAIOSFODNN7EXAMPLQ")) {
			t.Errorf("the page tells the secret")
		}
		if got := head.Get("Content-Type"); len(got) < len(accept) || got[:len(accept)] != accept {
			t.Errorf("asked for %s, got %s", accept, got)
		}
	}
}
