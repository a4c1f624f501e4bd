package admission

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// A reading gathers what is to be known of one image, stage by stage, and asks policy after each: a refusal that needs
// the manifest only spares the fetch of the rest.
type reading struct {
	gate     *Gate
	rule     *ruling
	ref      policy.Reference
	who      policy.Requester
	manifest *manifest.Manifest
	size     int64 // of the manifest, bytes
}

func (r *reading) verdict(ctx context.Context) (*policy.Verdict, error) {
	contents, err := r.readManifest(ctx)
	if err != nil {
		return nil, err
	}
	v, err := r.evaluate(ctx, contents)
	if err != nil || v.Decision == policy.Deny || r.manifest.Kind != policy.KindImage {
		return v, err
	}
	if contents, err = r.readConfig(ctx, contents); err != nil {
		return nil, err
	}
	if v, err = r.evaluate(ctx, contents); err != nil || v.Decision == policy.Deny {
		return v, err
	}
	if r.rule.set.Needs(r.ref) > policy.StageConfig {
		if r.gate.Inspector == nil {
			return refuse(v, "policy asks for what the layers hold, which cannot be inspected"), nil
		}
		if contents, err = r.gate.Inspector.Inspect(ctx, r.manifest, contents); err != nil {
			return nil, fmt.Errorf("inspecting %s: %w", r.ref, err)
		}
		if v, err = r.evaluate(ctx, contents); err != nil || v.Decision == policy.Deny {
			return v, err
		}
	}
	if v.Decision == policy.Slim {
		return r.slim(ctx, v, contents)
	}
	return v, nil
}

func (r *reading) evaluate(ctx context.Context, contents policy.Contents) (*policy.Verdict, error) {
	v, err := r.rule.set.Evaluate(ctx, contents, r.who, r.gate.Now())
	if err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", r.ref, err)
	}
	v.MediaType, v.Size = r.manifest.MediaType, r.size
	if max := r.gate.MaxSize; max > 0 && contents.Image.Size > max && v.Decision != policy.Deny {
		return refuse(v, fmt.Sprintf("the image is larger than admission.maxImageSize (%d bytes)", max)), nil
	}
	return v, nil
}

// slim has the image slimmed, and judges the result like any other image of that name.
func (r *reading) slim(ctx context.Context, v *policy.Verdict, contents policy.Contents) (*policy.Verdict, error) {
	if r.gate.Slimmer == nil {
		return refuse(v, "policy asks for a slimmed image, which cannot be made"), nil
	}
	digest, err := r.gate.Slimmer.Slim(ctx, r.manifest, contents)
	if err != nil {
		return nil, fmt.Errorf("slimming %s: %w", r.ref, err)
	}
	v.SlimDigest = digest
	return v, nil
}

func refuse(v *policy.Verdict, reason string) *policy.Verdict {
	v.Decision, v.Reason = policy.Deny, reason
	return v
}

func (r *reading) readManifest(ctx context.Context) (policy.Contents, error) {
	raw, contentType, err := r.gate.fetchManifest(ctx, r.ref)
	if err != nil {
		return policy.Contents{}, err
	}
	if r.manifest, err = manifest.Parse(raw, contentType); err != nil {
		return policy.Contents{}, err
	}
	r.size = int64(len(raw))
	if err := r.gate.Store.Put(ctx, r.ref.Digest, raw); err != nil {
		// Policy can still decide; it will have to fetch again, and serving fetches as well.
		r.gate.metrics.unstored.Inc()
	}
	contents := r.manifest.Contents(r.ref)
	contents.Image.FirstSeen = r.gate.Tags.FirstSeen(ctx, r.ref.Name(), r.ref.Digest, r.gate.Now())
	return contents, r.checkChild(ctx)
}

// checkChild compares a manifest that an index led to with what the index says of it.
func (r *reading) checkChild(ctx context.Context) error {
	child, ok, err := r.child(ctx)
	if err != nil || !ok {
		return err
	}
	if child.Size != r.size || child.MediaType != r.manifest.MediaType {
		return &manifest.Error{Problem: "has another size or media type than its index says"}
	}
	return nil
}

// child returns the entry of the index through which the reading's reference was reached.
func (r *reading) child(ctx context.Context) (policy.Child, bool, error) {
	if r.ref.Index == "" {
		return policy.Child{}, false, nil
	}
	parent := policy.Reference{Upstream: r.ref.Upstream, Repository: r.ref.Repository, Digest: r.ref.Index}
	raw, contentType, err := r.gate.fetchManifest(ctx, parent)
	if err != nil {
		return policy.Child{}, false, fmt.Errorf("reading the index of %s: %w", r.ref, err)
	}
	index, err := manifest.Parse(raw, contentType)
	if err != nil {
		return policy.Child{}, false, err
	}
	for _, c := range index.Children {
		if c.Digest == r.ref.Digest {
			return c, true, nil
		}
	}
	return policy.Child{}, false, &manifest.Error{Problem: "is not listed by the index it was reached through"}
}

func (r *reading) readConfig(ctx context.Context, contents policy.Contents) (policy.Contents, error) {
	raw, err := r.gate.smallBlob(ctx, r.ref, r.manifest.Config)
	if err != nil {
		return contents, err
	}
	config, err := manifest.ParseConfig(raw)
	if err != nil {
		return contents, err
	}
	if contents, err = r.manifest.AddConfig(contents, config); err != nil {
		return contents, err
	}
	child, ok, err := r.child(ctx)
	if err != nil || !ok {
		return contents, err
	}
	said, is := child.Platform, config.Platform
	if said.String() != "" && (said.OS != is.OS || said.Architecture != is.Architecture) {
		return contents, &manifest.Error{Path: "platform", Problem: "the index says " + said.String() + ", the configuration " + is.String()}
	}
	return contents, nil
}

// fetchManifest returns the manifest that ref's digest names, from the store or the upstream. Its bytes hash to it.
func (g *Gate) fetchManifest(ctx context.Context, ref policy.Reference) (raw []byte, contentType string, err error) {
	if raw, err := g.Store.Get(ctx, ref.Digest, manifest.MaxSize); err == nil {
		return raw, "", nil
	}
	raw, contentType, err = g.Upstream.Manifest(ctx, ref.Upstream, ref.Repository, ref.Digest)
	if statusOf(err) == http.StatusNotFound {
		return nil, "", ErrManifestUnknown
	}
	if err != nil {
		return nil, "", fmt.Errorf("fetching %s: %w", ref, err)
	}
	if !hashesTo(raw, ref.Digest) {
		return nil, "", &fault{status: http.StatusBadGateway, reason: "invalid_content", message: "the upstream sent other bytes than " + ref.Digest}
	}
	return raw, contentType, nil
}

// smallBlob returns a blob that is read whole, verified: an image configuration.
func (g *Gate) smallBlob(ctx context.Context, ref policy.Reference, d policy.Layer) ([]byte, error) {
	if d.Size > manifest.MaxConfigSize {
		return nil, &manifest.Error{Path: "config", Problem: "is larger than 8 MiB"}
	}
	if raw, err := g.Store.Get(ctx, d.Digest, manifest.MaxConfigSize); err == nil {
		if int64(len(raw)) != d.Size {
			return nil, &manifest.Error{Path: "config.size", Problem: "is not the size of the configuration"}
		}
		return raw, nil
	}
	body, err := g.Upstream.Blob(ctx, ref.Upstream, ref.Repository, d.Digest, d.Size)
	if err != nil {
		return nil, fmt.Errorf("fetching the configuration of %s: %w", ref, err)
	}
	defer body.Close()
	raw := make([]byte, d.Size)
	if _, err := io.ReadFull(body, raw); err != nil {
		return nil, fmt.Errorf("fetching the configuration of %s: %w", ref, err)
	}
	if !hashesTo(raw, d.Digest) {
		return nil, &fault{status: http.StatusBadGateway, reason: "invalid_content", message: "the upstream sent other bytes than " + d.Digest}
	}
	if err := g.Store.Put(ctx, d.Digest, raw); err != nil {
		g.metrics.unstored.Inc()
	}
	return raw, nil
}

func hashesTo(b []byte, digest string) bool {
	sum := sha256.Sum256(b)
	return digest == "sha256:"+hex.EncodeToString(sum[:])
}
