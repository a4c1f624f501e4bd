package images_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
)

func TestImagesAreValid(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		spec   images.Spec
		layers int
		media  types.MediaType
	}{
		"smallest":   {images.Spec{}, 1, types.OCIManifestSchema1},
		"ten layers": {images.Spec{Data: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, 10, types.OCIManifestSchema1},
		"docker":     {images.Spec{Docker: true, User: "0"}, 1, types.DockerManifestSchema2},
		"arm64":      {images.Spec{Server: true, Arch: "arm64"}, 1, types.OCIManifestSchema1},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			image := images.New(t, c.spec)
			if err := validate.Image(image); err != nil {
				t.Fatal(err)
			}
			m, err := image.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Layers) != c.layers || m.MediaType != c.media {
				t.Errorf("%d layers, %s; want %d, %s", len(m.Layers), m.MediaType, c.layers, c.media)
			}
		})
	}
}

func TestDebianImageHasARoot(t *testing.T) {
	t.Parallel()
	testkit.Require(t, testkit.Root, "debootstrap")
	image := images.New(t, images.Good())
	if err := validate.Image(image, validate.Fast); err != nil {
		t.Fatal(err)
	}
	if size := images.Size(t, image); size < 20<<20 {
		t.Errorf("an image with a Debian root has %d bytes", size)
	}
	if a, b := images.New(t, images.Good()), image; !cmp.Equal(digest(t, a), digest(t, b)) {
		t.Error("two images of one description differ")
	}
}

func TestIndexListsPlatforms(t *testing.T) {
	t.Parallel()
	index := images.Index(t, false, images.New(t, images.Spec{}), images.New(t, images.Spec{Arch: "arm64"}))
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, child := range m.Manifests {
		got = append(got, child.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestArtifactNamesItsSubject(t *testing.T) {
	t.Parallel()
	subject, err := partial.Descriptor(images.New(t, images.Spec{}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := images.Artifact(t, "application/spdx+json", []byte("{}"), subject).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject == nil || m.Subject.Digest != subject.Digest {
		t.Errorf("subject %v, want %v", m.Subject, subject.Digest)
	}
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
