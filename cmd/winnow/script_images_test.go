package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
)

func wellMade() images.Spec { return images.Spec{User: images.NonRoot, Healthcheck: true, Seed: 7} }

// multi is an index whose image for arm64 runs as root.
func multi(t *testing.T) v1.ImageIndex {
	t.Helper()
	return images.Index(t, false, images.New(t, wellMade()), images.New(t, images.Spec{Arch: "arm64"}))
}

// writeImages writes into dir, by the tools that others use:
//
//	good, root     layouts of one image, tagged 1.0
//	both           a layout with both, the second under a whole name
//	multi          a layout of the index of multi
//	broken         a layout whose manifest was changed
//	linked         a layout whose manifest is a link out of it
//	plain          a folder that is no layout
//	saved.tar      the image good, as docker save wrote it before it wrote layouts
//	layout.tar     a layout in a tar file
//	twice.tar      a tar file that has manifest.json twice
//	swapped.tar    as saved.tar, with another layer than the configuration says
//	saved.tar.gz   saved.tar, compressed
//	text.tar       no tar file
func writeImages(t *testing.T, dir string) {
	t.Helper()
	good, root := images.New(t, wellMade()), images.New(t, images.Spec{})
	at := func(name string) string { return filepath.Join(dir, name) }
	writeLayout(t, at("good"), good, "1.0")
	writeLayout(t, at("root"), root, "1.0")
	both := writeLayout(t, at("both"), good, "1.0")
	check(t, both.AppendImage(root, layout.WithAnnotations(map[string]string{"io.containerd.image.name": "ghcr.io/team/root:2"})))
	index, err := layout.Write(at("multi"), empty.Index)
	check(t, err)
	check(t, index.AppendIndex(multi(t), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "1.0"})))

	digest, err := good.Digest()
	check(t, err)
	writeLayout(t, at("broken"), good, "1.0")
	raw, err := good.RawManifest()
	check(t, err)
	blob := filepath.Join("blobs", "sha256", digest.Hex)
	check(t, os.WriteFile(filepath.Join(at("broken"), blob), append(raw, ' '), 0o600))
	writeLayout(t, at("linked"), good, "1.0")
	check(t, os.Remove(filepath.Join(at("linked"), blob)))
	check(t, os.Symlink(filepath.Join(at("good"), blob), filepath.Join(at("linked"), blob)))
	check(t, os.Mkdir(at("plain"), 0o700))

	writeSaved(t, at("saved.tar"), good)
	pack(t, at("layout.tar"), at("good"), nil)
	pack(t, at("twice.tar"), at("plain"), [][2]string{{"manifest.json", "[]"}, {"./manifest.json", "[]"}})
	swapped, err := mutate.ConfigFile(good, withDiffIDs(t, good, root))
	check(t, err)
	writeSaved(t, at("swapped.tar"), swapped)
	compress(t, at("saved.tar"))
	check(t, os.WriteFile(at("text.tar"), bytes.Repeat([]byte("no tar file at all\n"), 100), 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeLayout(t *testing.T, dir string, image v1.Image, tag string) layout.Path {
	t.Helper()
	p, err := layout.Write(dir, empty.Index)
	check(t, err)
	check(t, p.AppendImage(image, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})))
	return p
}

func writeSaved(t *testing.T, path string, image v1.Image) {
	t.Helper()
	tag, err := name.NewTag("app:1.0")
	check(t, err)
	check(t, tarball.WriteToFile(path, tag, image))
}

// withDiffIDs is the configuration of image with the layers of another.
func withDiffIDs(t *testing.T, image, other v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := image.ConfigFile()
	check(t, err)
	from, err := other.ConfigFile()
	check(t, err)
	config = config.DeepCopy()
	config.RootFS.DiffIDs = from.RootFS.DiffIDs
	return config
}

// pack writes a folder and further files into a tar file.
func pack(t *testing.T, path, dir string, more [][2]string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	w := tar.NewWriter(f)
	check(t, w.AddFS(os.DirFS(dir).(fs.FS)))
	for _, m := range more {
		check(t, w.WriteHeader(&tar.Header{Name: m[0], Size: int64(len(m[1])), Mode: 0o600, Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(m[1]))
		check(t, err)
	}
	check(t, w.Close())
	check(t, f.Close())
}

func compress(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(raw)
	check(t, err)
	check(t, w.Close())
	check(t, os.WriteFile(path+".gz", b.Bytes(), 0o600))
}
