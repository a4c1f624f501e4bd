package imagefile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// saved is one image in the manifest.json of docker save.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// readSaved reads what docker save wrote before it wrote layouts, and podman save writes: configurations and layers, but
// no manifests. Those are made here, as a push would make them.
func (a *Archive) readSaved(ctx context.Context) error {
	raw, err := readFile(a.files, "manifest.json", manifest.MaxSize)
	if err != nil {
		return err
	}
	var images []saved
	if err := json.Unmarshal(raw, &images); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	if len(images) > maxImages {
		return fmt.Errorf("manifest.json: lists %d images, more than the %d allowed", len(images), maxImages)
	}
	for i, s := range images {
		digest, err := a.makeManifest(ctx, s)
		if err != nil {
			return fmt.Errorf("manifest.json: image %d: %w", i+1, err)
		}
		a.images = append(a.images, Image{Digest: digest, Names: s.RepoTags, Made: true})
	}
	return nil
}

func (a *Archive) makeManifest(ctx context.Context, s saved) (digest string, err error) {
	config, err := readFile(a.files, s.Config, manifest.MaxConfigSize)
	if err != nil {
		return "", err
	}
	parsed, err := manifest.ParseConfig(config)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Config, notRefused{err})
	}
	diffIDs := parsed.Config.DiffIDs
	if len(diffIDs) != len(s.Layers) {
		return "", fmt.Errorf("%s lists %d layers, manifest.json %d", s.Config, len(diffIDs), len(s.Layers))
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: []v1.Descriptor{},
		Config: v1.Descriptor{MediaType: types.DockerConfigJSON, Size: int64(len(config)), Digest: hash(config)},
	}
	for i, name := range s.Layers {
		d, err := a.layer(ctx, name, diffIDs[i])
		if err != nil {
			return "", fmt.Errorf("layer %s: %w", name, err)
		}
		m.Layers = append(m.Layers, d)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	digest = hash(raw).String()
	a.made[digest], a.made[m.Config.Digest.String()] = raw, config
	return digest, nil
}

// layer describes a layer as it would be pushed, compressed, after checking that it is the one the configuration names.
func (a *Archive) layer(ctx context.Context, name, diffID string) (v1.Descriptor, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, _, err := a.files.open(name)
		if err != nil {
			return nil, err
		}
		return &cancelled{ctx, r}, nil
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	is, err := layer.DiffID()
	if err == nil && is.String() != diffID {
		err = errors.New("hashes to something else than the configuration says")
	}
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{}
	if d.Digest, err = layer.Digest(); err != nil {
		return d, err
	}
	if d.Size, err = layer.Size(); err != nil {
		return d, err
	}
	d.MediaType, err = layer.MediaType()
	return d, err
}

// cancelled is a reader that ends with its context: hashing a large layer takes a while.
type cancelled struct {
	ctx context.Context // of the one call that reads to the end
	io.ReadCloser
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}

func hash(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}
