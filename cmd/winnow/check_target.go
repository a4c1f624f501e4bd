package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/cmd/winnow/imagefile"
	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy"
	"github.com/winnow-registry/winnow/proxy/admission"
	"github.com/winnow-registry/winnow/proxy/upstream"
)

// localUpstream is how images on disk are named that have no name, as podman names what it builds.
const localUpstream = "localhost"

// A checkTarget is what one check judges: images and where their documents are.
type checkTarget struct {
	source admission.Source
	images []targetImage
	closer func() error
}

type targetImage struct {
	ref  policy.Reference
	made bool // the digest is of a manifest that was made here
}

func (t *checkTarget) close() { _ = t.closer() } // it was only read

// open finds out what target is: something on disk, or else a reference.
func (c *checkCommand) open(ctx context.Context, config *configs.Config, target string) (*checkTarget, error) {
	info, err := os.Stat(target)
	switch onDisk := err == nil; {
	case onDisk && info.IsDir() && !isPath(target) && !isLayout(target):
		return c.openUpstream(ctx, config, target) // a folder that happens to have the name of an image
	case onDisk || isPath(target):
		return c.openArchive(ctx, config, target)
	}
	return c.openUpstream(ctx, config, target)
}

// isPath reports whether s can only be a file or folder.
func isPath(s string) bool {
	return filepath.IsAbs(s) || s == "." || s == ".." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") ||
		strings.HasSuffix(s, "/") || strings.HasSuffix(s, ".tar")
}

func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}

func (c *checkCommand) openUpstream(ctx context.Context, config *configs.Config, target string) (*checkTarget, error) {
	if c.as != "" || c.ref != "" {
		return nil, fmt.Errorf("--as and --ref are for images on disk, and %s is none", target)
	}
	ref, err := namesOf(config).Parse(target)
	if err != nil {
		return nil, err
	}
	client, err := upstream.New(endpoints(config), upstream.Options{})
	if err != nil {
		return nil, fmt.Errorf("reading upstreams: %w", err)
	}
	if ref.Digest == "" {
		d, err := client.Resolve(ctx, ref.Upstream, ref.Repository, ref.Tag)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("resolving %s: %w", ref, err), client.Close())
		}
		ref.Digest = d.Digest
	}
	return &checkTarget{
		source: admission.UpstreamSource{Upstream: registries{client}}, images: []targetImage{{ref: ref}}, closer: client.Close,
	}, nil
}

func (c *checkCommand) openArchive(ctx context.Context, config *configs.Config, path string) (*checkTarget, error) {
	archive, err := imagefile.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	t := &checkTarget{source: archive, closer: archive.Close}
	if t.images, err = c.choose(config, path, archive.Images()); err != nil {
		return nil, errors.Join(err, archive.Close())
	}
	return t, nil
}

// choose names the images of an archive and leaves out those that were not asked for. An image with several names is
// judged under each, since policy may tell them apart.
func (c *checkCommand) choose(config *configs.Config, path string, images []imagefile.Image) ([]targetImage, error) {
	var out []targetImage
	var offered []string
	digests := map[string]bool{}
	for _, image := range images {
		if p := image.Platform; c.platform != "" && p.String() != "" && !admission.MatchesPlatform(p, c.platform) {
			offered = append(offered, plain(p.String()))
			continue
		}
		refs, err := localReferences(config, path, image)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			offered = append(offered, ref.String())
			if c.ref == "" || c.names(config, ref) {
				out = append(out, targetImage{ref, image.Made})
				digests[ref.Digest] = true
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no such image, only %s", path, strings.Join(offered, ", "))
	}
	if c.as == "" {
		return out, nil
	}
	if len(digests) > 1 {
		return nil, fmt.Errorf("--as names one image, and %s holds %d; choose one with --ref: %s", path, len(digests), strings.Join(offered, ", "))
	}
	as, err := parseLocal(config, config.DefaultUpstream, c.as)
	if err != nil {
		return nil, fmt.Errorf("--as: %w", err)
	}
	as.Digest = out[0].ref.Digest
	return []targetImage{{as, out[0].made}}, nil
}

// names reports whether --ref means ref.
func (c *checkCommand) names(config *configs.Config, ref policy.Reference) bool {
	if c.ref == ref.Digest || c.ref == ref.Tag || c.ref == ref.String() {
		return true
	}
	asked, err := parseLocal(config, dockerHub, c.ref)
	if err != nil {
		return false
	}
	return asked.Name() == ref.Name() && (asked.Digest == ref.Digest || asked.Digest == "" && asked.Tag == ref.Tag)
}

// localReferences returns the names under which an image on disk is judged.
func localReferences(config *configs.Config, path string, image imagefile.Image) ([]policy.Reference, error) {
	var out []policy.Reference
	for _, name := range image.Names {
		ref, err := parseLocal(config, dockerHub, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if ref.Digest = image.Digest; !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	if len(out) == 0 {
		ref := policy.Reference{Upstream: localUpstream, Repository: repositoryOf(path), Tag: image.Tag, Digest: image.Digest}
		if image.Tag != "" {
			if _, err := parseLocal(config, dockerHub, ref.Name()+":"+image.Tag); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		out = append(out, ref)
	}
	return out, nil
}

// dockerHub is what a name without a registry means to docker, whatever upstream is the default here.
const dockerHub = "docker.io"

// parseLocal reads the name of an image on disk. Its registry is not dialled and need not be configured.
func parseLocal(config *configs.Config, fallback, name string) (policy.Reference, error) {
	upstreams := append(upstreamNames(config), fallback)
	if first, _, ok := strings.Cut(name, "/"); ok && proxy.IsHost(first) {
		upstreams = append(upstreams, first)
	}
	return proxy.NewNames(upstreams, fallback).Parse(name)
}

// repositoryOf makes a repository's name of a file's.
func repositoryOf(path string) string {
	base := filepath.Base(path)
	if abs, err := filepath.Abs(path); err == nil {
		base = filepath.Base(abs)
	}
	base = strings.TrimSuffix(strings.ToLower(base), ".tar")
	words := strings.FieldsFunc(base, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') })
	if len(words) == 0 {
		return "image"
	}
	return strings.Join(words, "-")
}

func upstreamNames(c *configs.Config) []string {
	names := make([]string, 0, len(c.Upstreams))
	for name := range c.Upstreams {
		names = append(names, name)
	}
	return names
}

func namesOf(c *configs.Config) *proxy.Names {
	return proxy.NewNames(upstreamNames(c), c.DefaultUpstream)
}
