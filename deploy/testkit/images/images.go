package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// ServerPath is where the application stands in an image.
const ServerPath = "/app/server"

// NonRoot is the user that a well-made sample image runs as.
const NonRoot = "65532:65532"

// A Spec says what an image is made of. The zero value is an image of one small layer that runs as root.
type Spec struct {
	Debian bool   // the Debian root is the first layer
	Server bool   // the application is a layer, and what the image starts
	Arch   string // amd64 unless set
	Data   []int  // sizes of further layers of bytes that do not compress
	Seed   uint64 // makes the bytes of Data differ between images

	User        string
	Env         []string
	Labels      map[string]string
	Healthcheck bool
	Created     time.Time // a fixed day unless set
	Docker      bool      // Docker's media types (schema 2) in place of OCI's
}

// Good returns the Spec of an image that complies with every strictness: Debian and the application, not as root.
func Good() Spec {
	return Spec{
		Debian: true, Server: true, User: NonRoot, Healthcheck: true,
		Labels: map[string]string{
			"org.opencontainers.image.source":   "https://git.example.org/team/app",
			"org.opencontainers.image.revision": "2f7c3d1",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
}

// created is when the sample images say that they were built.
var created = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// New makes the image that s describes.
func New(t testing.TB, s Spec) v1.Image {
	t.Helper()
	image := mutate.MediaType(empty.Image, s.media(types.OCIManifestSchema1, types.DockerManifestSchema2))
	image = mutate.ConfigMediaType(image, s.media(types.OCIConfigJSON, types.DockerConfigJSON))
	image, err := mutate.Append(image, s.layers(t)...)
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	config = config.DeepCopy()
	s.configure(config)
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	return image
}

func (s Spec) configure(config *v1.ConfigFile) {
	config.OS, config.Architecture = "linux", s.arch()
	config.Created = v1.Time{Time: s.Created}
	if s.Created.IsZero() {
		config.Created = v1.Time{Time: created}
	}
	config.Config.User = s.User
	config.Config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, s.Env...)
	config.Config.Labels = s.Labels
	if s.Server {
		config.Config.Entrypoint = []string{ServerPath}
	}
	if s.Healthcheck {
		config.Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", ServerPath, "-check"}}
	}
}

func (s Spec) layers(t testing.TB) []mutate.Addendum {
	t.Helper()
	media := s.media(types.OCILayer, types.DockerLayer)
	var layers []v1.Layer
	if s.Debian {
		layers = append(layers, rootLayer(t, media))
	}
	if s.Server {
		layers = append(layers, fileLayer(t, media, ServerPath[1:], server(t, s.arch())))
	}
	data := s.Data
	if len(data) == 0 && len(layers) == 0 {
		data = []int{1024}
	}
	for i, size := range data {
		layers = append(layers, fileLayer(t, media, fmt.Sprintf("data/%d-%d", s.Seed, i), Noise(s.Seed+uint64(i)<<32, size)))
	}
	var out []mutate.Addendum
	for i, layer := range layers {
		out = append(out, mutate.Addendum{Layer: plain{layer}, MediaType: media, History: v1.History{
			Created: v1.Time{Time: created}, CreatedBy: fmt.Sprintf("sample layer %d", i+1),
		}})
	}
	return out
}

// plain hides a layer's own descriptor, whose empty annotations would make the manifest differ from what it reads back.
type plain struct{ v1.Layer }

func (s Spec) arch() string {
	if s.Arch == "" {
		return "amd64"
	}
	return s.Arch
}

func (s Spec) media(oci, docker types.MediaType) types.MediaType {
	if s.Docker {
		return docker
	}
	return oci
}

// Index puts images for different architectures under one name.
func Index(t testing.TB, docker bool, children ...v1.Image) v1.ImageIndex {
	t.Helper()
	media := types.OCIImageIndex
	if docker {
		media = types.DockerManifestList
	}
	index := mutate.IndexMediaType(empty.Index, media)
	for _, child := range children {
		config, err := child.ConfigFile()
		if err != nil {
			t.Fatalf("making an index: %v", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: child, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	return index
}

// Artifact makes a manifest of the given artifact type with one blob, which refers to subject when that is not nil.
func Artifact(t testing.TB, artifactType string, content []byte, subject *v1.Descriptor) v1.Image {
	t.Helper()
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.MediaType(artifactType))
	image, err := mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(content, types.MediaType(artifactType))})
	if err != nil {
		t.Fatalf("making an artifact: %v", err)
	}
	if subject != nil {
		return mutate.Subject(image, *subject).(v1.Image)
	}
	return image
}

// Noise returns size bytes that no compression makes smaller, the same for the same seed.
func Noise(seed uint64, size int) []byte {
	out := make([]byte, size)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(out) // never fails
	return out
}

// fileLayer is a layer that holds one file.
func fileLayer(t testing.TB, media types.MediaType, name string, content []byte) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg, ModTime: created}
	if err := w.WriteHeader(header); err != nil {
		t.Fatalf("making a layer: %v", err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatalf("making a layer: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("making a layer: %v", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(media), tarball.WithCompressedCaching)
	if err != nil {
		t.Fatalf("making a layer: %v", err)
	}
	return layer
}

// server returns the application, built for an architecture.
func server(t testing.TB, arch string) []byte {
	t.Helper()
	const pkg = "github.com/winnow-registry/winnow/deploy/testkit/images/server"
	program := testkit.Build(t, t.TempDir(), pkg, "GOOS=linux", "GOARCH="+arch)
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatalf("reading the application: %v", err)
	}
	return b
}

// Digests lists every digest of an image: manifest, config, layers.
func Digests(t testing.TB, image v1.Image) (manifest, config string, layers []string) {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatalf("hashing an image: %v", err)
	}
	m, err := image.Manifest()
	if err != nil {
		t.Fatalf("hashing an image: %v", err)
	}
	for _, layer := range m.Layers {
		layers = append(layers, layer.Digest.String())
	}
	return d.String(), m.Config.Digest.String(), layers
}

// Size returns the bytes of an image as a registry sends them: manifest, config and each layer once.
func Size(t testing.TB, image v1.Image) int64 {
	t.Helper()
	m, err := image.Manifest()
	if err != nil {
		t.Fatalf("measuring an image: %v", err)
	}
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatalf("measuring an image: %v", err)
	}
	total, seen := int64(len(raw))+m.Config.Size, []v1.Hash{}
	for _, layer := range m.Layers {
		if !slices.Contains(seen, layer.Digest) {
			seen = append(seen, layer.Digest)
			total += layer.Size
		}
	}
	return total
}
