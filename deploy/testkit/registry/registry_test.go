package registry_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/winnow-registry/winnow/deploy/testkit/registry"
)

func TestPullNeedsWhatTheRegistryAsksFor(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		options   registry.Options
		anonymous bool // whether somebody without credentials can pull
	}{
		"open":                {registry.Options{}, true},
		"password":            {registry.Options{Auth: registry.Basic}, false},
		"password over TLS":   {registry.Options{Auth: registry.Basic, TLS: true}, false},
		"token":               {registry.Options{Auth: registry.Token}, false},
		"token for everybody": {registry.Options{Auth: registry.Token, Anonymous: true}, true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r := registry.Start(t, c.options)
			want, err := random.Image(1000, 3)
			if err != nil {
				t.Fatal(err)
			}
			digest := r.Push(t, "team/app:1", want)

			ref, err := name.ParseReference(r.Addr+"/team/app:1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			got, err := remote.Image(ref, r.Remote()...)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(got); err != nil {
				t.Fatal(err)
			}
			fetched := r.Fetches()
			delete(fetched, "1")
			if want, got := []int{4, 0}, []int{len(fetched), fetched[digest]}; !cmp.Equal(want, got) {
				t.Errorf("config and layers, manifests by digest: fetched %v, want %v", got, want)
			}
			if c.options.TLS {
				return // the next client would have to trust the CA first
			}
			_, err = remote.Head(ref)
			if got := err == nil; got != c.anonymous {
				t.Errorf("pull without credentials: %v, want it to work: %v", err, c.anonymous)
			}
		})
	}
}

func TestShapeSlowsAndFails(t *testing.T) {
	t.Parallel()
	r := registry.Start(t, registry.Options{})
	image, err := random.Image(200_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.Push(t, "app:1", image)
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}

	r.Shape(registry.Shape{Latency: 50 * time.Millisecond, BytesPerSecond: 1 << 20})
	start := time.Now()
	response, err := http.Get(r.URL + "/v2/app/blobs/" + layer.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("%d bytes at 1 MiB/s, 50 ms away, took %v", n, took)
	}
	if got := r.Bytes(); got != n {
		t.Errorf("counted %d bytes, sent %d", got, n)
	}

	r.Shape(registry.Shape{Status: http.StatusTooManyRequests, RetryAfter: "7"})
	response, err = http.Get(r.URL + "/v2/app/manifests/1")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "7" {
		t.Errorf("answered %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
}
