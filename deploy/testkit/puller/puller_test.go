package puller_test

import (
	"errors"
	"testing"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/puller"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
)

func TestPullGetsEachObjectOfTheImageOnce(t *testing.T) {
	t.Parallel()
	r := registry.Start(t, registry.Options{})
	image := images.New(t, images.Spec{Data: []int{1 << 20, 2 << 20}})
	r.Push(t, "app:1", images.Index(t, false, images.New(t, images.Spec{Arch: "arm64"}), image))
	c := puller.New(r.URL)
	defer c.Close()

	got, err := c.Pull(t.Context(), "app", "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range got {
		if n := r.Fetches()[digest]; n != 1 {
			t.Errorf("%s was fetched %d times", digest, n)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %v, want index, manifest, config and two layers", got)
	}

	r.Forget()
	c.Leave = 1 << 19
	if _, err := c.Pull(t.Context(), "app", "1"); !errors.Is(err, puller.ErrLeft) {
		t.Errorf("a client that leaves: %v", err)
	}
	if _, err := c.Pull(t.Context(), "app", "none"); err == nil {
		t.Error("a tag that does not exist was pulled")
	}
}
