package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
)

func TestColdRangeIsAnsweredFromTheOneFetch(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	_, _, layers := push(t, up, "library/app:1", images.Spec{User: images.NonRoot, Data: []int{2 << 20}})
	r := start(t, up.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/1")
	part := r.want(206, "GET", "/v2/app/blobs/"+layers[0], "Range", "bytes=1000000-1000099")
	whole := r.want(200, "GET", "/v2/app/blobs/"+layers[0])
	if !bytes.Equal(part, whole[1000000:1000100]) {
		t.Error("the range is not that part of the blob")
	}
	if n := up.Fetches()[layers[0]]; n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestBytesThatDoNotHashAreNeverComplete(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	digest, _, layers := push(t, up, "library/app:1", images.Spec{User: images.NonRoot, Data: []int{300_000}})
	behind, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	lying := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(behind) },
		ModifyResponse: func(resp *http.Response) error {
			if strings.HasSuffix(resp.Request.URL.Path, layers[0]) {
				resp.Body = &flipper{ReadCloser: resp.Body, at: 250_000}
			}
			return nil
		},
	})
	t.Cleanup(lying.Close)
	r := start(t, lying.URL, noRoot, nil)
	r.want(200, "GET", "/v2/app/manifests/"+digest)
	for _, header := range []string{"", "bytes=299000-"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v2/app/blobs/"+layers[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Range", header)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			continue // cut before its headers: nothing was served
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%q: %d bytes of %d that do not hash were framed as complete", header, n, resp.ContentLength)
		}
	}
	if _, err := r.store.Stat(t.Context(), layers[0]); err == nil {
		t.Error("the store holds bytes that do not hash")
	}
}

// A flipper changes one byte of a stream.
type flipper struct {
	io.ReadCloser
	at int
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if 0 <= f.at && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}
