package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// content is what the upstream serves: files in a folder, so that both programs see the same.
type content struct {
	dir  string
	seed uint64
}

// A descriptor as in a manifest.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// An image is one that the upstream has.
type image struct {
	repository, tag string
	manifest        descriptor
	config          descriptor
	layers          []descriptor
	text            []byte // of the manifest
}

func (i image) bytes() int64 {
	n := i.manifest.Size + i.config.Size
	for _, l := range i.layers {
		n += l.Size
	}
	return n
}

const (
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

// image puts one into the upstream whose layers have about these sizes. No two share a byte.
func (c *content) image(repository string, sizes ...int) (image, error) {
	var layers []descriptor
	var diffs []string
	for _, size := range sizes {
		c.seed++
		packed, diff, err := layer(c.seed, size)
		if err != nil {
			return image{}, err
		}
		d, err := c.put("blobs", layerType+"+gzip", packed)
		if err != nil {
			return image{}, err
		}
		layers, diffs = append(layers, d), append(diffs, diff)
	}
	return c.assemble(repository, layers, diffs)
}

// layer makes a real layer of one file that does not compress.
func layer(seed uint64, size int) (packed []byte, diff string, err error) {
	var plain, out bytes.Buffer
	t := tar.NewWriter(&plain)
	err = t.WriteHeader(&tar.Header{Name: "data/" + strconv.FormatUint(seed, 10), Mode: 0o644, Size: int64(size)})
	if err == nil {
		_, err = t.Write(noise(seed, size))
	}
	if err == nil {
		err = t.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("writing a layer: %w", err)
	}
	g, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err == nil {
		_, err = g.Write(plain.Bytes())
	}
	if err == nil {
		err = g.Close()
	}
	return out.Bytes(), digestOf(plain.Bytes()), err
}

func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // cannot fail
	return b
}

// assemble makes an image of layers that the upstream has, with a configuration that the default policy finds in order.
func (c *content) assemble(repository string, layers []descriptor, diffs []string) (image, error) {
	i := image{repository: repository, tag: "v1", layers: layers}
	config, err := json.Marshal(map[string]any{
		"created": time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), "os": "linux", "architecture": "amd64",
		"config": map[string]any{"User": "65532:65532", "Entrypoint": []string{"/app"}, "Labels": map[string]string{"name": repository}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		return i, err
	}
	if i.config, err = c.put("blobs", configType, config); err != nil {
		return i, err
	}
	i.text, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": i.config, "layers": layers,
	})
	if err != nil {
		return i, err
	}
	if i.manifest, err = c.put("manifests", manifestType, i.text); err != nil {
		return i, err
	}
	return i, write(filepath.Join(c.dir, "tags", repository, i.tag), i.manifest.Digest)
}

func (c *content) put(kind, mediaType string, b []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))}
	return d, write(filepath.Join(c.dir, kind, d.Digest), string(b))
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// hugeImage puts an image of one layer into the upstream that is made while it is sent.
func (c *content) hugeImage(repository string, size int64) (image, error) {
	r, err := newRepeated(size)
	if err != nil {
		return image{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r.section()); err != nil {
		return image{}, fmt.Errorf("hashing the huge layer: %w", err)
	}
	d := descriptor{MediaType: layerType, Digest: fmt.Sprintf("sha256:%x", sum.Sum(nil)), Size: r.size()}
	if err := write(filepath.Join(c.dir, "huge", d.Digest), strconv.FormatInt(size, 10)); err != nil {
		return image{}, err
	}
	return c.assemble(repository, []descriptor{d}, []string{d.Digest})
}

// repeated is a tar file of one file, whose content is one block again and again.
type repeated struct {
	head, block []byte
	length      int64 // of the file; a multiple of the block
}

const (
	repeatedBlock = 1 << 20
	tarEnd        = 1024 // zero bytes
)

func newRepeated(size int64) (*repeated, error) {
	r := &repeated{block: noise(1<<20, repeatedBlock), length: size / repeatedBlock * repeatedBlock}
	var head bytes.Buffer
	err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "data/huge", Mode: 0o644, Size: r.length})
	r.head = head.Bytes()
	return r, err
}

func (r *repeated) size() int64 { return int64(len(r.head)) + r.length + tarEnd }

func (r *repeated) section() *io.SectionReader { return io.NewSectionReader(r, 0, r.size()) }

// ReadAt implements io.ReaderAt.
func (r *repeated) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) && offset < r.size() {
		var part []byte
		switch in := offset - int64(len(r.head)); {
		case in < 0:
			part = r.head[offset:]
		case in < r.length:
			part = r.block[in%repeatedBlock:]
		default:
			part = make([]byte, r.size()-offset)
		}
		copied := copy(p[n:], part)
		n, offset = n+copied, offset+int64(copied)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// isDigest tells a digest from a tag.
func isDigest(reference string) bool { return strings.HasPrefix(reference, "sha256:") }
