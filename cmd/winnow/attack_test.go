package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
)

// between puts a server that may change answers before an upstream.
func between(t *testing.T, upstream string, change func(*http.Response) error) string {
	t.Helper()
	behind, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(behind) },
		ModifyResponse: change,
	})
	t.Cleanup(server.Close)
	return server.URL
}

func TestRefusedManifestIsNotServedUnderTheNameOfAnotherRepository(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, config, layers := push(t, up, "evil/app:1", root(1))
	push(t, up, "library/fine:1", good(2))
	trusted := strings.Replace(noRoot, `"**"`, `"docker.io/evil/**"`, 1) + strings.NewReplacer(
		"test", "lax", `"**"`, `"docker.io/library/**"`, "deny", "warn").Replace("---\n"+noRoot)
	r := start(t, up.URL, trusted, nil)
	r.want(403, "GET", "/v2/evil/app/manifests/1")
	r.want(200, "GET", "/v2/fine/manifests/1")
	// Its bytes are in the store by now. The upstream has no such manifest in the repository that is named here.
	r.want(404, "GET", "/v2/fine/manifests/"+digest)
	r.want(404, "HEAD", "/v2/fine/manifests/"+digest)
	for _, blob := range append(layers, config) {
		r.want(404, "GET", "/v2/fine/blobs/"+blob)
	}
}

func TestAdmittedDigestIsServedFromTheStoreWhileTheUpstreamIsDown(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, _, _ := push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/"+digest)
	up.Close()
	r.write(strings.Replace(noRoot, "deny", "warn", 1)) // every verdict is made anew
	r.reload(r.load)
	r.want(200, "GET", "/v2/app/manifests/"+digest)
}

func TestRunnableImageDisguisedAsAnArtifactIsJudgedAsAnImage(t *testing.T) {
	t.Parallel()
	for _, docker := range []bool{true, false} {
		up := registry.Start(t, registry.Options{})
		image := images.New(t, images.Spec{Data: []int{1000}, Docker: docker})
		up.Push(t, "library/app:1", mutate.ConfigMediaType(image, "application/vnd.oci.image.thing.v1+json"))
		r := start(t, up.URL, noRoot, nil)
		resp, body := r.do("GET", "/v2/app/manifests/1")
		if resp.StatusCode != 403 {
			t.Errorf("docker %t: %s %.300s", docker, resp.Status, body)
		}
	}
	up := registry.Start(t, registry.Options{})
	up.Push(t, "library/chart:1", images.Artifact(t, "application/vnd.cncf.helm.config.v1+json", []byte("chart"), nil))
	start(t, up.URL, noRoot, nil).want(200, "GET", "/v2/chart/manifests/1")
}

func TestChildThatItsIndexLiesAboutIsRefusedByItsDigest(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	image := images.New(t, good(1))
	digest, _, _ := images.Digests(t, image)
	lying := mutate.AppendManifests(images.Index(t, false), mutate.IndexAddendum{
		Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}},
	})
	up.Push(t, "library/app:1", lying)
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	if got := sentence(t, r.want(403, "GET", "/v2/app/manifests/"+digest)); !strings.Contains(got, "invalid-content") {
		t.Error(got)
	}
	// An index that tells the truth makes the image available again.
	up.Push(t, "library/app:2", images.Index(t, false, image))
	r.want(200, "GET", "/v2/app/manifests/2")
	r.want(200, "GET", "/v2/app/manifests/"+digest)
}

func TestRangeOfABlobOnItsWayIsNotCompleteBeforeTheWholeIsVerified(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:1", images.Spec{User: images.NonRoot, Data: []int{300_000}})
	lying := between(t, up.URL, func(resp *http.Response) error {
		if strings.HasSuffix(resp.Request.URL.Path, layers[0]) {
			resp.Body = &flipper{ReadCloser: resp.Body, at: 1000}
		}
		return nil
	})
	r := start(t, lying, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v2/app/blobs/"+layers[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=900-1099")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return // cut before its headers
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode < 400 {
		t.Errorf("%s with %d bytes that are not those of the blob", resp.Status, n)
	}
}

func TestColdBlobWhileTheUpstreamIsDownIsAnOutageAndNotACutConnection(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	up.Close()
	for _, header := range [][]string{nil, {"Range", "bytes=10-19"}} {
		resp, body := r.do("GET", "/v2/app/blobs/"+layers[0], header...)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s %v %s", resp.Status, resp.Header, body)
		}
		for _, name := range []string{"Docker-Content-Digest", "Etag", "Content-Range", "Accept-Ranges"} {
			if resp.Header.Get(name) != "" {
				t.Errorf("an error with %s: %s", name, resp.Header.Get(name))
			}
		}
	}
	records := r.records(audit.EventDecided)
	if last := records[len(records)-1]; last.Decision != "error" || last.Status != 503 || last.Digest.Served != "" {
		t.Errorf("%+v", last)
	}
}

// A client that closes its sending side looks gone to net/http, though it can still read.
func TestClientThatClosesItsSendingSideIsNotToldOK(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{Shape: registry.Shape{Latency: 300 * time.Millisecond}})
	push(t, up, "library/app:1", root(1))
	r := start(t, up.URL, noRoot, nil)
	for _, method := range []string{"HEAD", "GET"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n", method)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%s of a refused image: %s", method, resp.Status)
		}
	}
}

func TestHoldEndsOnceForTheWholeRequest(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "library/app:1", good(1))
	r := start(t, up.URL, noRoot, func(c *configs.Config) {
		c.Admission.Hold = configs.Duration(100 * time.Millisecond)
		c.Tags.TTL = configs.Duration(time.Millisecond)
	})
	r.want(200, "GET", "/v2/app/manifests/1")
	// The older resolution stands in for the slow upstream; the verdict on it must be made anew, which takes long too.
	if err := r.store.Discard(t.Context(), sha(t, r.want(200, "GET", "/v2/app/manifests/1"))); err != nil {
		t.Fatal(err)
	}
	r.write(strings.Replace(noRoot, "deny", "warn", 1))
	r.reload(r.load)
	up.Shape(registry.Shape{Latency: 2 * time.Second})
	begun := time.Now()
	r.want(429, "GET", "/v2/app/manifests/1")
	if took := time.Since(begun); took > time.Second {
		t.Errorf("held for %s", took)
	}
}

func TestTagListIsNamedAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "a/tags/list/b:1", good(1))
	r := start(t, up.URL, noRoot, nil)
	var list struct{ Name string }
	if err := json.Unmarshal(r.want(200, "GET", "/v2/a/tags/list/b/tags/list"), &list); err != nil || list.Name != "a/tags/list/b" {
		t.Errorf("%+v %v", list, err)
	}
}

func sha(t *testing.T, b []byte) string {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}
