package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/puller"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

// crowd is how many clients pull at the same time.
const crowd = 200

// tenLayers are the sizes of the layers of the image that they pull, 11 MiB in all.
var tenLayers = []int{4 << 20, 2 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 512 << 10, 256 << 10, 128 << 10, 1 << 10}

// longTTL keeps the resolution of a tag for the whole of a test.
var longTTL = winnow.Map{"tags": winnow.Map{"ttl": "1h"}}

// pullAll lets n clients pull at once and returns their errors. prepare changes the i-th client before it starts.
func pullAll(ctx context.Context, url, repository, tag string, n int, prepare func(i int, c *puller.Client)) []error {
	all := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			c := puller.New(url)
			defer c.Close()
			if prepare != nil {
				prepare(i, c)
			}
			_, all[i] = c.Pull(ctx, repository, tag)
		})
	}
	group.Wait()
	return all
}

func TestManyColdClientsCostTheUpstreamOnePull(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: longTTL})
	image := images.New(t, well(1, tenLayers...))
	upstream.Push(t, "team/app:1", image)

	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", crowd, nil)...); err != nil {
		t.Fatal(err)
	}
	onePull(t, upstream, image, "1")

	upstream.Forget()
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", crowd, nil)...); err != nil {
		t.Fatal(err)
	}
	if asked := upstream.Requests(); len(asked) > 0 {
		t.Errorf("within the life of the tag the upstream was asked %d times: %+v", len(asked), asked)
	}
	auditIsWhole(t, w)
}

// onePull fails the test unless the upstream sent each object of the image exactly once, and no more than 1 % above it.
func onePull(t *testing.T, upstream *registry.Registry, image v1.Image, tag string) {
	t.Helper()
	manifest, config, layers := images.Digests(t, image)
	fetches := upstream.Fetches()
	if n := fetches[manifest] + fetches[tag]; n != 1 {
		t.Errorf("the manifest was fetched %d times", n)
	}
	for _, digest := range append(layers, config) {
		if n := fetches[digest]; n != 1 {
			t.Errorf("blob %s was fetched %d times", digest, n)
		}
	}
	heads := 0
	for _, q := range upstream.Requests() {
		if q.Method == http.MethodHead {
			heads++
		}
	}
	if heads > 1 {
		t.Errorf("the upstream was asked %d HEADs for one tag", heads)
	}
	atMost(t, upstream, image)
}

// atMost fails the test when the upstream sent more than 1.01 times the image.
func atMost(t *testing.T, upstream *registry.Registry, image v1.Image) {
	t.Helper()
	if got, size := upstream.Bytes(), images.Size(t, image); float64(got) > 1.01*float64(size) {
		t.Errorf("the upstream sent %d bytes for an image of %d: %.3f times", got, size, float64(got)/float64(size))
	}
}

func TestClientsThatLeaveCostTheUpstreamNothing(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: longTTL})
	image := images.New(t, well(2, tenLayers...))
	upstream.Push(t, "team/app:1", image)
	upstream.Shape(registry.Shape{BytesPerSecond: 8 << 20}) // long enough for clients to leave in the middle

	left := 0
	for i, err := range pullAll(t.Context(), w.URL, "docker.io/team/app", "1", crowd, func(i int, c *puller.Client) {
		if i%2 == 0 {
			c.Leave = int64(1+i) * 20_000
		}
	}) {
		switch {
		case errors.Is(err, puller.ErrLeft):
			left++
		case err != nil:
			t.Errorf("client %d: %v", i, err)
		}
	}
	if left != crowd/2 {
		t.Errorf("%d clients left, want %d", left, crowd/2)
	}
	onePull(t, upstream, image, "1")
}

func TestWhenEverybodyLeavesNothingIsFetchedTwice(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: longTTL})
	image := images.New(t, well(3, 6<<20))
	upstream.Push(t, "team/app:1", image)
	upstream.Shape(registry.Shape{BytesPerSecond: 4 << 20})

	for _, err := range pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 20, func(i int, c *puller.Client) { c.Leave = 1 << 20 }) {
		if !errors.Is(err, puller.ErrLeft) {
			t.Errorf("a client that leaves: %v", err)
		}
	}
	// The next client joins the fetch that goes on, or finds the layer; or the rest is fetched by Range.
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 1, nil)...); err != nil {
		t.Fatal(err)
	}
	atMost(t, upstream, image)
}

func TestHeldImageIsServedWhileTheUpstreamIsDown(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: winnow.Map{"tags": winnow.Map{"ttl": "1s", "stale": "1h"}}})
	upstream.Push(t, "team/app:1", images.New(t, well(4, 1<<20)))
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 1, nil)...); err != nil {
		t.Fatal(err)
	}
	upstream.Close()
	time.Sleep(1100 * time.Millisecond) // the resolution is old now

	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 5, nil)...); err != nil {
		t.Fatal(err)
	}
	stale := false
	for _, r := range w.Audit(t) {
		stale = stale || r.Stale && r.Decision == "admit" && strings.HasSuffix(r.Requested, "team/app:1")
	}
	if !stale {
		t.Error("no audit record says that the answer was stale")
	}
}
