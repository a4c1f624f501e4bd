package admission

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// grantsOf lists what an admitted manifest gives its repository the right to serve: itself and an index's children as
// manifests, which are judged when they are asked for; config and layers as blobs. A media type of a manifest marks
// the former: under such a grant no blob is served, or a child could be had without its verdict.
func grantsOf(ref policy.Reference, m *manifest.Manifest, size int64) map[string]policy.Grant {
	via := policy.Via{Tag: ref.Tag, Index: ref.Index}
	grants := map[string]policy.Grant{}
	for _, l := range m.Layers {
		grants[l.Digest] = blobGrant(ref, via, l)
	}
	if m.Config.Digest != "" {
		grants[m.Config.Digest] = blobGrant(ref, via, m.Config)
	}
	for _, c := range m.Children {
		if manifest.IsManifest(c.MediaType) {
			grants[c.Digest] = policy.Grant{Manifest: ref.Digest, Via: via, Size: c.Size, Media: c.MediaType}
		}
	}
	grants[ref.Digest] = policy.Grant{Manifest: ref.Digest, Via: via, Size: size, Media: m.MediaType}
	return grants
}

func blobGrant(ref policy.Reference, via policy.Via, l policy.Layer) policy.Grant {
	g := policy.Grant{Manifest: ref.Digest, Via: via, Size: l.Size, Media: l.MediaType}
	if manifest.IsManifest(g.Media) { // an artifact may carry what it likes as a layer
		g.Media = "application/octet-stream"
	}
	return g
}

// A Blob may be served. Exactly one of Object and Fill is set, and neither for a HEAD of a blob not yet held.
type Blob struct {
	Reference policy.Reference // of the manifest that grants it, Digest being the manifest's
	Size      int64
	Verdict   *policy.Verdict
	Cached    bool
	Object    Object // held; the caller closes it
	Fill      Fill   // on its way
	URL       string // where the client is to fetch it itself; neither Object nor Fill is set then
}

// Blob returns the blob that ref's digest names, if an admitted manifest of that repository lists it. Nothing is
// dialled before that is known. With content false (a HEAD) nothing is fetched.
func (g *Gate) Blob(ctx context.Context, ref policy.Reference, who policy.Requester, content bool) (Blob, error) {
	rule := g.rules.Load()
	hold := g.newHold()
	defer hold.stop()
	b, err := g.granted(ctx, rule, ref, who, hold)
	if errors.Is(err, ErrBlobUnknown) {
		if err := g.rebuild(ctx, ref, hold); err != nil {
			return Blob{}, err
		}
		b, err = g.granted(ctx, rule, ref, who, hold)
	}
	if err != nil || !content {
		return b, err
	}
	err = g.open(ctx, ref, &b) // before b is copied: Go leaves the order within a return open
	return b, err
}

// granted finds a grant whose manifest is admitted now. A grant alone serves nothing: policy may have changed since.
func (g *Gate) granted(ctx context.Context, rule *ruling, ref policy.Reference, who policy.Requester, hold *hold) (Blob, error) {
	err := error(ErrBlobUnknown)
	for _, grant := range g.Grants.Grants(ctx, ref.Name(), ref.Digest) {
		if manifest.IsManifest(grant.Media) {
			continue
		}
		by := policy.Reference{
			Upstream: ref.Upstream, Repository: ref.Repository,
			Tag: grant.Via.Tag, Index: grant.Via.Index, Digest: grant.Manifest,
		}
		v, cached, verr := g.verdict(ctx, rule, by, who, hold)
		switch {
		case verr != nil:
			err = verr
		case v.Decision == policy.Admit:
			return Blob{Reference: by, Size: grant.Size, Verdict: v, Cached: cached}, nil
		case errors.Is(err, ErrBlobUnknown):
			err = &Denied{Reference: by, Verdict: v, Cached: cached}
		}
	}
	return Blob{}, err
}

// open finds the bytes: held, or from the upstream by way of the one fill of that digest.
func (g *Gate) open(ctx context.Context, ref policy.Reference, b *Blob) (err error) {
	if b.Object, err = g.Blobs.Open(ctx, ref.Digest); err == nil {
		if b.Object.Size() != b.Size {
			b.Object.Close()
			b.Object = nil
			return &manifest.Error{Path: "size", Problem: "of the blob is not what its manifest says"}
		}
		// Only now: an address can be made for what is not there, too, and a client that follows it finds nothing.
		if url, err := g.Blobs.URL(ctx, ref.Digest, http.MethodGet); err == nil && url != "" {
			b.Object.Close()
			b.Object, b.URL = nil, url
		}
		return nil
	}
	if statusOf(err) != http.StatusNotFound {
		g.Log.Warn("reading a held blob; fetching it again", zap.String("digest", ref.Digest), zap.Error(err))
	}
	b.Object = nil
	b.Fill, err = g.Blobs.Fetch(ctx, ref.Digest, b.Size, func(ctx context.Context) (io.ReadCloser, error) {
		return g.Upstream.Blob(ctx, ref.Upstream, ref.Repository, ref.Digest, b.Size)
	})
	if err != nil {
		b.Fill = nil
	}
	return err
}

const (
	// rebuildEvery bounds how often a repository's grants are rebuilt because an unknown blob was asked for.
	rebuildEvery = time.Minute
	// maxRebuilt manifests of a repository are read then.
	maxRebuilt = 1000
)

// rebuild gives the grants of ref's repository again after all caches were lost: the store says which manifests were
// admitted there. A grant by itself serves nothing, so none is judged here.
func (g *Gate) rebuild(ctx context.Context, ref policy.Reference, hold *hold) error {
	name := ref.Name()
	_, err := g.flights.do(ctx, "rebuild "+name, hold, func(ctx context.Context) (any, error) {
		if !g.rebuilt.first(name, g.Now(), rebuildEvery) {
			return nil, nil
		}
		linked, err := g.Store.Linked(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, digest := range linked[:min(len(linked), maxRebuilt)] {
			raw, err := g.Store.Get(ctx, digest, manifest.MaxSize)
			if err != nil {
				continue // evicted: its next pull grants again
			}
			m, err := manifest.Parse(raw, "")
			if err != nil {
				continue
			}
			by := policy.Reference{Upstream: ref.Upstream, Repository: ref.Repository, Digest: digest}
			g.Grants.PutGrants(ctx, name, grantsOf(by, m, int64(len(raw))))
		}
		return nil, nil
	})
	return err
}
