package admission

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// A Source is where a reading gets its documents. The daemon's is the store with the upstream behind it; `winnow check`
// has an upstream, a folder or a file. Bytes that are returned hash to the digest asked for.
type Source interface {
	// Manifest returns the manifest that ref's digest names and the Content-Type it came with, or "" where the document
	// alone must say what it is.
	Manifest(ctx context.Context, ref policy.Reference) (raw []byte, contentType string, err error)
	// Config returns the image configuration that d describes.
	Config(ctx context.Context, ref policy.Reference, d policy.Layer) ([]byte, error)
}

// documents are those of the store, and of the upstream where it does not hold them. It is no part of the gate's methods:
// what it returns has passed no verdict.
type documents struct{ gate *Gate }

// Manifest returns the manifest that ref's digest names, from the store or the upstream. Its bytes hash to it. The store
// keeps the bytes of all repositories together: they are taken from it only where it is known that this repository has
// such a manifest, or a refused image could be had under the name of a repository that admits it.
func (d documents) Manifest(ctx context.Context, ref policy.Reference) (raw []byte, contentType string, err error) {
	if d.known(ctx, ref) {
		if raw, err := d.gate.Store.Get(ctx, ref.Digest, manifest.MaxSize); err == nil {
			return raw, "", nil
		}
	}
	raw, contentType, err = d.gate.Upstream.Manifest(ctx, ref.Upstream, ref.Repository, ref.Digest)
	switch statusOf(err) {
	case http.StatusNotFound:
		return nil, "", ErrManifestUnknown
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if raw, ok := d.linked(ctx, ref); ok {
			return raw, "", nil
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("fetching %s: %w", ref, err)
	}
	if !hashesTo(raw, ref.Digest) {
		return nil, "", &fault{status: http.StatusBadGateway, reason: "invalid_content", message: "the upstream sent other bytes than " + ref.Digest}
	}
	d.keep(ctx, ref.Digest, raw)
	return raw, contentType, nil
}

// known reports whether the upstream has said, by a tag, or an admitted manifest of the repository says that it has ref's
// digest.
func (d documents) known(ctx context.Context, ref policy.Reference) bool {
	if ref.Tag != "" || ref.Index != "" {
		return true
	}
	return slices.ContainsFunc(d.gate.Grants.Grants(ctx, ref.Name(), ref.Digest), func(g policy.Grant) bool {
		return manifest.IsManifest(g.Media)
	})
}

// linked returns a held manifest that was admitted in ref's repository before: with all caches lost, the store knows.
func (d documents) linked(ctx context.Context, ref policy.Reference) ([]byte, bool) {
	digests, err := d.gate.Store.Linked(ctx, ref.Name())
	if err != nil || !slices.Contains(digests, ref.Digest) {
		return nil, false
	}
	raw, err := d.gate.Store.Get(ctx, ref.Digest, manifest.MaxSize)
	return raw, err == nil
}

// Config returns an image configuration, from the store or the upstream.
func (d documents) Config(ctx context.Context, ref policy.Reference, c policy.Layer) ([]byte, error) {
	if raw, err := d.gate.Store.Get(ctx, c.Digest, manifest.MaxConfigSize); err == nil {
		return raw, nil
	}
	body, err := d.gate.Upstream.Blob(ctx, ref.Upstream, ref.Repository, c.Digest, c.Size)
	if err != nil {
		return nil, fmt.Errorf("fetching the configuration of %s: %w", ref, err)
	}
	defer body.Close()
	raw := make([]byte, c.Size)
	if _, err := io.ReadFull(body, raw); err != nil {
		return nil, fmt.Errorf("fetching the configuration of %s: %w", ref, err)
	}
	if !hashesTo(raw, c.Digest) {
		return nil, &fault{status: http.StatusBadGateway, reason: "invalid_content", message: "the upstream sent other bytes than " + c.Digest}
	}
	d.keep(ctx, c.Digest, raw)
	return raw, nil
}

// keep stores a document. Where that fails policy can still decide; serving will have to fetch again.
func (d documents) keep(ctx context.Context, digest string, raw []byte) {
	if err := d.gate.Store.Put(ctx, digest, raw); err != nil {
		d.gate.metrics.unstored.Inc()
	}
}

func hashesTo(b []byte, digest string) bool {
	sum := sha256.Sum256(b)
	return digest == "sha256:"+hex.EncodeToString(sum[:])
}
