package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

const (
	// maxNesting bounds indexes inside of indexes. Clients follow two at most.
	maxNesting = 4
	// maxChecked bounds the images that one check reads.
	maxChecked = 1000
)

// CheckOptions are what a check judges by. The zero value of each field but Set has a meaning.
type CheckOptions struct {
	Set       *policy.Set
	Epoch     string           // of the advisories
	Who       policy.Requester // whom the image would be for
	Platforms []string         // the children of an index to judge, os/architecture[/variant]; none means all
	MaxSize   int64            // as Options.MaxSize
	Inspector Inspector        // as Options.Inspector
	Now       func() time.Time // nil: time.Now
}

// Checked is what a check found out about one manifest.
type Checked struct {
	Reference policy.Reference
	Kind      policy.Kind     // "" where the manifest cannot be read
	Platform  policy.Platform // of an image, as its configuration says
	ImageID   string          // digest of the configuration; "" for an index
	Verdict   *policy.Verdict // Slim means that it would be slimmed: a check makes no image
	Missed    error           // what could not be read of an image that is refused anyway; nil: nothing
}

// Check judges the image that ref, with its digest, names, by the same reading as a Gate and with every finding, and
// remembers nothing: each image is seen for the first time. The first element is about ref itself; where that is an
// index, its children for the platforms follow. An error says that some image could not be judged.
func Check(ctx context.Context, from Source, ref policy.Reference, opts CheckOptions) ([]Checked, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := check{CheckOptions: opts, source: verified{from}}
	if err := c.image(ctx, ref, 0); err != nil {
		return nil, err
	}
	return c.out, nil
}

// Worst returns the strictest decision: deny before slim before admit. Of nothing it is deny.
func Worst(images []Checked) policy.Decision {
	worst := policy.Deny
	for i, c := range images {
		switch d := c.Verdict.Decision; {
		case i == 0:
			worst = d
		case worst == policy.Deny || d == policy.Deny:
			worst = policy.Deny
		case d != policy.Admit:
			worst = d
		}
	}
	return worst
}

type check struct {
	CheckOptions
	source Source
	out    []Checked
}

func (c *check) image(ctx context.Context, ref policy.Reference, depth int) error {
	if depth > maxNesting || len(c.out) >= maxChecked {
		return fmt.Errorf("checking %s: an index nests deeper than %d or leads to more than %d images", ref, maxNesting, maxChecked)
	}
	r := &reading{
		Source: c.source, set: c.Set, inspector: c.Inspector, maxSize: c.MaxSize, timeout: defaultTimeout, now: c.Now,
		firstSeen: func(context.Context, policy.Reference) time.Time { return c.Now() },
		dry:       true, ref: ref, who: c.Who,
	}
	v, err := r.verdict(ctx)
	if err != nil {
		return err
	}
	key := policy.VerdictKey{Digest: ref.Digest, Scope: c.Set.Scope(ref, c.Who), Revision: c.Set.Revision()}
	done := Checked{Reference: ref, Verdict: named(v, ref, key, c.Epoch), Missed: r.missed, Platform: r.platform}
	if r.manifest != nil {
		done.Kind, done.ImageID = r.manifest.Kind, r.manifest.Config.Digest
	}
	c.out = append(c.out, done)
	if done.Kind != policy.KindIndex {
		return nil
	}
	return c.children(ctx, ref, r.manifest, depth)
}

func (c *check) children(ctx context.Context, ref policy.Reference, index *manifest.Manifest, depth int) error {
	var offered []string
	found := false
	for _, child := range index.Children {
		if !manifest.IsManifest(child.MediaType) {
			continue // never served as a manifest
		}
		if name := child.Platform.String(); !c.wants(child.Platform) {
			if !slices.Contains(offered, name) {
				offered = append(offered, name)
			}
			continue
		}
		found = true
		name := ref
		name.Index, name.Digest = ref.Digest, child.Digest
		if err := c.image(ctx, name, depth+1); err != nil {
			return err
		}
	}
	if !found && len(offered) > 0 {
		return fmt.Errorf("checking %s: the index has no image for %s, only for %s", ref,
			strings.Join(c.Platforms, ", "), strings.Join(offered, ", "))
	}
	return nil
}

// wants reports whether a child of that platform is to be judged. One that names none is.
func (c *check) wants(p policy.Platform) bool {
	return len(c.Platforms) == 0 || p.String() == "" || slices.ContainsFunc(c.Platforms, func(s string) bool { return MatchesPlatform(p, s) })
}

// MatchesPlatform reports whether p is of the platform that s names, os/architecture[/variant]. Without a variant s
// means all of them.
func MatchesPlatform(p policy.Platform, s string) bool {
	return p.String() == s || p.OS+"/"+p.Architecture == s
}

// verified checks what a Source promises.
type verified struct{ from Source }

func (v verified) Manifest(ctx context.Context, ref policy.Reference) ([]byte, string, error) {
	raw, contentType, err := v.from.Manifest(ctx, ref)
	if err == nil && !hashesTo(raw, ref.Digest) {
		err = errors.New("what is there hashes to something else")
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	return raw, contentType, nil
}

func (v verified) Config(ctx context.Context, ref policy.Reference, d policy.Layer) ([]byte, error) {
	raw, err := v.from.Config(ctx, ref, d)
	if err == nil && int64(len(raw)) == d.Size && !hashesTo(raw, d.Digest) {
		err = errors.New("what is there hashes to something else")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration %s of %s: %w", d.Digest, ref, err)
	}
	return raw, nil
}

// An UpstreamSource reads from a registry and keeps nothing.
type UpstreamSource struct{ Upstream Upstream }

// Manifest implements Source.
func (s UpstreamSource) Manifest(ctx context.Context, ref policy.Reference) ([]byte, string, error) {
	return s.Upstream.Manifest(ctx, ref.Upstream, ref.Repository, ref.Digest)
}

// Config implements Source.
func (s UpstreamSource) Config(ctx context.Context, ref policy.Reference, d policy.Layer) ([]byte, error) {
	body, err := s.Upstream.Blob(ctx, ref.Upstream, ref.Repository, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, manifest.MaxConfigSize+1))
}
