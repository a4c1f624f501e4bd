package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// A reading gathers what is to be known of one image, stage by stage, and asks policy after each: a refusal that needs
// the manifest only spares the fetch of the rest.
type reading struct {
	Source
	set       *policy.Set
	inspector Inspector
	slimmer   Slimmer
	maxSize   int64
	timeout   time.Duration // how long it is believed that a document cannot be read
	now       func() time.Time
	firstSeen func(context.Context, policy.Reference) time.Time
	// dry asks for everything that is wrong: the reading goes on after a refusal, and slims nothing.
	dry bool

	ref      policy.Reference
	who      policy.Requester
	manifest *manifest.Manifest
	size     int64           // of the manifest, bytes
	platform policy.Platform // as the configuration says
	last     *policy.Verdict // of the stages so far
	missed   error           // what a dry reading could not get after a refusal
}

func (g *Gate) newReading(rule *ruling, ref policy.Reference, who policy.Requester) *reading {
	return &reading{
		Source: documents{g}, set: rule.set, inspector: g.Inspector, slimmer: g.Slimmer, maxSize: g.MaxSize, timeout: g.Timeout, now: g.Now,
		firstSeen: func(ctx context.Context, ref policy.Reference) time.Time {
			return g.Tags.FirstSeen(ctx, ref.Name(), ref.Digest, g.Now())
		},
		ref: ref, who: who,
	}
}

// verdict judges the image. What cannot be read in exactly one way is refused; an error says that nothing is known.
func (r *reading) verdict(ctx context.Context) (*policy.Verdict, error) {
	v, err := r.stages(ctx)
	if err == nil && v.Partial && v.Decision != policy.Deny {
		v = refuse(v, "policy asks for more of the image than could be known")
	}
	var bad *manifest.Error
	if errors.As(err, &bad) {
		return r.invalid(bad), nil
	}
	if err != nil && r.dry && r.last != nil && r.last.Decision == policy.Deny {
		r.missed = err
		return r.last, nil
	}
	return v, err
}

func (r *reading) stages(ctx context.Context) (*policy.Verdict, error) {
	contents, err := r.readManifest(ctx)
	if err != nil {
		return nil, err
	}
	v, err := r.evaluate(ctx, contents)
	if err != nil || r.final(v) || r.manifest.Kind != policy.KindImage {
		return v, err
	}
	if contents, err = r.readConfig(ctx, contents); err != nil {
		return nil, err
	}
	if v, err = r.evaluate(ctx, contents); err != nil || r.final(v) {
		return v, err
	}
	if r.set.Needs(r.ref) > policy.StageConfig {
		if r.inspector == nil {
			return refuse(v, "policy asks for what the layers hold, which cannot be inspected"), nil
		}
		if contents, err = r.inspector.Inspect(ctx, r.manifest, contents); err != nil {
			return nil, fmt.Errorf("inspecting %s: %w", r.ref, err)
		}
		if v, err = r.evaluate(ctx, contents); err != nil {
			return nil, err
		}
	}
	if v.Decision == policy.Slim && !r.dry {
		return r.slim(ctx, v, contents)
	}
	return v, nil
}

// final reports whether v ends the reading.
func (r *reading) final(v *policy.Verdict) bool { return v.Decision == policy.Deny && !r.dry }

func (r *reading) evaluate(ctx context.Context, contents policy.Contents) (*policy.Verdict, error) {
	v, err := r.set.Evaluate(ctx, contents, r.who, r.now())
	if err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", r.ref, err)
	}
	v.MediaType, v.Size = r.manifest.MediaType, r.size
	if max := r.maxSize; max > 0 && contents.Image.Size > max && v.Decision != policy.Deny {
		refuse(v, fmt.Sprintf("the image is larger than admission.maxImageSize (%d bytes)", max))
	}
	r.last = v
	return v, nil
}

// slim has the image slimmed, and judges the result like any other image of that name.
func (r *reading) slim(ctx context.Context, v *policy.Verdict, contents policy.Contents) (*policy.Verdict, error) {
	if r.slimmer == nil {
		return refuse(v, "policy asks for a slimmed image, which cannot be made"), nil
	}
	digest, err := r.slimmer.Slim(ctx, r.manifest, contents)
	if err != nil {
		return nil, fmt.Errorf("slimming %s: %w", r.ref, err)
	}
	v.SlimDigest = digest
	return v, nil
}

// The violation that no policy document has: the document cannot be read in exactly one way.
const (
	ruleInvalid = "invalid-content"
	own         = "winnow" // the name of the policy that it is said to be of
)

// invalid is the verdict on a document that cannot be read in exactly one way, with what was found before it. It
// lapses, since the fault may be the upstream's Content-Type rather than the bytes.
func (r *reading) invalid(bad *manifest.Error) *policy.Verdict {
	v := policy.Verdict{}
	if r.last != nil {
		v = *r.last
	}
	now := r.now()
	v.Decision, v.Decided, v.ValidUntil, v.Reason = policy.Deny, now, now.Add(r.timeout), bad.Reason()
	v.Violations = append(slices.Clip(v.Violations), policy.Violation{
		Rule: ruleInvalid, Policy: own, Action: policy.ActionDeny, Severity: policy.SeverityCritical,
		Message: "is not a valid image: " + bad.Error(), Evidence: []string{bad.Error()},
		Advice: "Rebuild and push the image with a current tool; clients could read this document in different ways.",
	})
	return &v
}

func refuse(v *policy.Verdict, reason string) *policy.Verdict {
	v.Decision, v.Reason = policy.Deny, reason
	return v
}

func (r *reading) readManifest(ctx context.Context) (policy.Contents, error) {
	raw, contentType, err := r.Manifest(ctx, r.ref)
	if err != nil {
		return policy.Contents{}, err
	}
	if r.manifest, err = manifest.Parse(raw, contentType); err != nil {
		return policy.Contents{}, err
	}
	r.size = int64(len(raw))
	contents := r.manifest.Contents(r.ref)
	contents.Image.FirstSeen = r.firstSeen(ctx, r.ref)
	return contents, r.checkChild(ctx)
}

// config returns the image configuration, bounded before it is asked for.
func (r *reading) config(ctx context.Context) ([]byte, error) {
	if r.manifest.Config.Size > manifest.MaxConfigSize {
		return nil, &manifest.Error{Path: "config", Problem: "is larger than 8 MiB"}
	}
	raw, err := r.Config(ctx, r.ref, r.manifest.Config)
	if err == nil && int64(len(raw)) != r.manifest.Config.Size {
		err = &manifest.Error{Path: "config.size", Problem: "is not the size of the configuration"}
	}
	return raw, err
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
	raw, contentType, err := r.Manifest(ctx, parent)
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
	raw, err := r.config(ctx)
	if err != nil {
		return contents, err
	}
	config, err := manifest.ParseConfig(raw)
	if err != nil {
		return contents, err
	}
	r.platform = config.Platform
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
