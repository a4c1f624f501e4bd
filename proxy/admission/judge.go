package admission

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// judge returns the verdict on ref, whose digest is known, and the name under which it was made. A digest that tags or
// indexes of this repository led to is judged under their names too, since clients resolve a name first and then ask
// by digest: it is admitted when one of its names is.
func (g *Gate) judge(ctx context.Context, rule *ruling, ref policy.Reference, who policy.Requester, hold *hold) (policy.Reference, *policy.Verdict, bool, error) {
	if ref.Tag != "" {
		v, cached, err := g.verdict(ctx, rule, ref, who, hold)
		return ref, v, cached, err
	}
	var refused *policy.Verdict
	var refusedAs policy.Reference
	var refusedCached bool
	var unknown error
	belied := false // by an index: that it can be read without the index makes it no better
	for _, name := range g.names(ctx, ref) {
		if name == ref && belied {
			break
		}
		v, cached, err := g.verdict(ctx, rule, name, who, hold)
		switch {
		case err != nil: // another name may admit it yet
			unknown = cmp.Or(unknown, err)
		case v.Decision == policy.Admit:
			return name, v, cached, nil
		default:
			belied = belied || invalid(v)
			if refused == nil {
				refused, refusedAs, refusedCached = v, name, cached
			}
		}
	}
	if unknown != nil {
		return ref, nil, false, unknown
	}
	return refusedAs, refused, refusedCached, nil
}

// invalid reports whether v refuses what could not be read in exactly one way.
func invalid(v *policy.Verdict) bool {
	return slices.ContainsFunc(v.Violations, func(x policy.Violation) bool { return x.Policy == own && x.Rule == ruleInvalid })
}

// names lists how ref's digest is named in its repository: as admitted manifests and their indexes were named, and by
// itself, which comes last.
func (g *Gate) names(ctx context.Context, ref policy.Reference) []policy.Reference {
	var out []policy.Reference
	for _, grant := range g.Grants.Grants(ctx, ref.Name(), ref.Digest) {
		if !manifest.IsManifest(grant.Media) {
			continue // a blob of that digest says nothing of a manifest's name
		}
		name := ref
		name.Tag = grant.Via.Tag
		if grant.Manifest != ref.Digest {
			name.Index = grant.Manifest
		}
		if name != ref && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	// In a fixed order, names people know first: equal refusals must read the same.
	slices.SortFunc(out, func(a, b policy.Reference) int {
		return cmp.Or(boolCompare(a.Tag == "", b.Tag == ""), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Index, b.Index))
	})
	return append(out, ref)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// verdict returns the verdict that holds for ref, remembered or made now.
func (g *Gate) verdict(ctx context.Context, rule *ruling, ref policy.Reference, who policy.Requester, hold *hold) (v *policy.Verdict, cached bool, err error) {
	key := policy.VerdictKey{Digest: ref.Digest, Scope: rule.set.Scope(ref, who), Revision: rule.set.Revision()}
	if ref.Index != "" && !strings.Contains(key.Scope, ref.Index) {
		key.Scope += "#" + ref.Index // what the index says of it is part of the reading, whatever patterns mean
	}
	if v, ok := g.held(ctx, rule, key); ok {
		g.metrics.cached.Inc()
		return v, true, nil
	}
	made, err := g.flights.do(ctx, "verdict "+key.Digest+" "+key.Scope+" "+key.Revision+" "+rule.epoch, hold, func(ctx context.Context) (any, error) {
		return g.decide(ctx, rule, ref, who, key)
	})
	if err != nil {
		return nil, false, err
	}
	return made.(*policy.Verdict), false, nil
}

func (g *Gate) held(ctx context.Context, rule *ruling, key policy.VerdictKey) (*policy.Verdict, bool) {
	v, ok := g.Verdicts.Verdict(ctx, key)
	if !ok || v.Key() != key || !v.Holds(key.Revision, rule.epoch, InspectorVersion, g.Now()) {
		return nil, false
	}
	return v, true
}

// decide makes the verdict on ref under the lease of its digest, and records it with the grants it gives.
func (g *Gate) decide(ctx context.Context, rule *ruling, ref policy.Reference, who policy.Requester, key policy.VerdictKey) (*policy.Verdict, error) {
	release, fence, err := g.Leases.Acquire(ctx, ref.Digest)
	if err != nil {
		return nil, fmt.Errorf("waiting for the lease of %s: %w", ref.Digest, err)
	}
	defer release()
	if v, ok := g.held(ctx, rule, key); ok { // another replica was faster
		return v, nil
	}
	leave, err := g.queues.enter(ctx, ref.Upstream)
	if err != nil {
		return nil, err
	}
	defer leave()
	started := g.Now()
	r := g.newReading(rule, ref, who)
	v, err := r.verdict(ctx)
	if err != nil {
		return nil, err
	}
	sealed := named(v, ref, key, rule.epoch)
	if err := g.record(ctx, ref, sealed, r.manifest, fence); err != nil {
		return nil, err
	}
	g.metrics.made(sealed.Decision, g.Now().Sub(started))
	g.Log.Info("decided", zap.Stringer("reference", ref), zap.String("decision", string(sealed.Decision)), zap.Strings("rules", sealed.Rules()))
	return sealed, nil
}

// record remembers a verdict. Grants stand before the verdict does: whoever finds the verdict finds them.
func (g *Gate) record(ctx context.Context, ref policy.Reference, v *policy.Verdict, m *manifest.Manifest, fence uint64) error {
	if v.Decision == policy.Admit {
		g.Grants.PutGrants(ctx, ref.Name(), grantsOf(ref, m, v.Size))
		if err := g.Store.Link(ctx, ref.Name(), ref.Digest); err != nil {
			// Only the rebuilding of lost grants rests on it.
			g.Log.Warn("recording an admitted manifest in the store", zap.Stringer("reference", ref), zap.Error(err))
		}
	} else {
		if v.Decision == policy.Slim && v.SlimDigest != "" { // may be asked for by its digest, and the upstream has it not
			g.Grants.PutGrants(ctx, ref.Name(), map[string]policy.Grant{v.SlimDigest: {
				Manifest: v.SlimDigest, Via: policy.Via{Tag: ref.Tag, Index: ref.Index}, Media: m.MediaType,
			}})
		}
		g.Explanations.PutExplanation(ctx, policy.WhyID(v), v)
	}
	g.Verdicts.PutVerdict(ctx, v, fence)
	return nil
}

// named returns a copy of v that says what it is about and under what it was made.
func named(v *policy.Verdict, ref policy.Reference, key policy.VerdictKey, epoch string) *policy.Verdict {
	out := *v
	out.Digest, out.Scope, out.Revision, out.Epoch = key.Digest, key.Scope, key.Revision, epoch
	out.Inspector, out.Reference = InspectorVersion, ref.String()
	return &out
}
