// Package imagefile reads images that lie on disk: an OCI layout, as a folder or in a tar file, and what `docker save` and
// `podman save` write. An Archive hands out documents by digest, so that such an image is judged like a pulled one.
//
// It reads manifests and configurations. Layers are read only where a manifest has to be made, since `docker save` wrote
// none. Nothing is trusted: sizes and counts are bounded, a name that occurs twice in a tar file is an error, links out
// of a folder are not followed, and whoever asks checks digests.
package imagefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// maxImages is how many images one layout or tar file may hold: as many as an index may list.
const maxImages = 1000

// ErrNoImages is what Open returns for a folder or file that is nothing which holds images.
var ErrNoImages = errors.New("is neither an OCI layout nor a tar file of docker save")

// An Image is one entry of an archive: a manifest or an index.
type Image struct {
	Digest   string
	Names    []string        // references as written, e.g. app:1 or docker.io/library/app:1; none for an unnamed one
	Tag      string          // where only a tag is written
	Platform policy.Platform // where the archive says it; zero otherwise
	// Made says that the archive has no manifest, and that the digest is of one made here: pushing the image may give
	// another.
	Made bool
}

// An Archive is an open layout or tar file. Not safe for concurrent use.
type Archive struct {
	files  files
	images []Image
	made   map[string][]byte // manifests and configurations of docker save, by digest
}

// files is a folder or a tar file.
type files interface {
	// open returns a regular file and its size. An error for a missing one is fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// Open reads the list of images at path.
func Open(ctx context.Context, path string) (*Archive, error) {
	f, err := openFiles(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	a := &Archive{files: f, made: map[string][]byte{}}
	if err := a.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), f.Close())
	}
	return a, nil
}

func openFiles(ctx context.Context, path string) (files, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file or folder")
	case err != nil:
		return nil, err
	case info.IsDir():
		return openFolder(path)
	case !info.Mode().IsRegular():
		return nil, errors.New("is neither a file nor a folder")
	}
	return openTar(ctx, path)
}

// read decides what the archive is. A tar file of a current docker save is both: the layout, which has the manifests,
// is then what counts.
func (a *Archive) read(ctx context.Context) error {
	for _, form := range []struct {
		file string
		read func(context.Context) error
	}{{"oci-layout", a.readLayout}, {"manifest.json", a.readSaved}} {
		f, _, err := a.files.open(form.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.Close()
		if err := form.read(ctx); err != nil {
			return err
		}
		if len(a.images) == 0 {
			return errors.New("it holds no image")
		}
		return nil
	}
	return ErrNoImages
}

// Images returns the images, in the order of the archive.
func (a *Archive) Images() []Image { return a.images }

// Close ends the reading.
func (a *Archive) Close() error { return a.files.Close() }

// Manifest returns the manifest that ref's digest names. It implements admission.Source.
func (a *Archive) Manifest(_ context.Context, ref policy.Reference) ([]byte, string, error) {
	raw, err := a.blob(ref.Digest, manifest.MaxSize)
	return raw, "", err
}

// Config returns the configuration that d describes. It implements admission.Source.
func (a *Archive) Config(_ context.Context, _ policy.Reference, d policy.Layer) ([]byte, error) {
	return a.blob(d.Digest, manifest.MaxConfigSize)
}

func (a *Archive) blob(digest string, limit int64) ([]byte, error) {
	if raw, ok := a.made[digest]; ok {
		return raw, nil
	}
	if !manifest.ValidDigest(digest) {
		return nil, fmt.Errorf("%q is no digest", digest)
	}
	raw, err := readFile(a.files, blobName(digest), limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it is not in the archive")
	}
	return raw, err
}

func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func readFile(f files, name string, limit int64) ([]byte, error) {
	r, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d allowed", name, size, limit)
	}
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) != size {
		err = fmt.Errorf("%s was cut off or changed while it was read", name)
	}
	return raw, err
}

// folder is a layout on disk. Links that lead out of it are errors.
type folder struct{ *os.Root }

func openFolder(path string) (files, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

func (f folder) open(name string) (io.ReadCloser, int64, error) {
	info, err := f.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() { // a pipe would block for ever
		return nil, 0, fmt.Errorf("%s is no regular file", name)
	}
	file, err := f.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	return file, info.Size(), nil
}
