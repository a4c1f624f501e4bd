package admission

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/policy"
)

// resolve returns what ref's tag leads to: remembered within the TTL, else asked for once for all who wait. While the
// upstream cannot answer, an older resolution is used within the stale bound, and stale is true. An answer that the
// tag does not exist, or that the upstream refuses us, is an answer: nothing older stands in for it.
func (g *Gate) resolve(ctx context.Context, ref policy.Reference, hold *hold) (r policy.Resolution, stale bool, err error) {
	name := ref.Name() + ":" + ref.Tag
	held, ok := g.Tags.Resolution(ctx, name)
	if ok && g.fresh(held) {
		if held.Missing {
			return policy.Resolution{}, false, ErrManifestUnknown
		}
		return held, false, nil
	}
	fresh, err := g.flights.do(ctx, "tag "+name, hold, func(ctx context.Context) (any, error) {
		return g.ask(ctx, ref, name)
	})
	switch {
	case err == nil:
		r := fresh.(policy.Resolution)
		if r.Missing {
			return policy.Resolution{}, false, ErrManifestUnknown
		}
		return r, false, nil
	case ctx.Err() != nil, statusOf(err) == http.StatusForbidden:
		return policy.Resolution{}, false, err
	case ok && !held.Missing && g.Now().Sub(held.At) < g.Stale:
		g.metrics.stale.Inc()
		g.Log.Warn("using an older resolution", zap.String("reference", name), zap.Time("resolved", held.At), zap.Error(err))
		return held, true, nil
	}
	return policy.Resolution{}, false, err
}

// fresh reports whether r is used without asking again. A time in the future is no fresher: the clock was set back.
func (g *Gate) fresh(r policy.Resolution) bool {
	ttl := g.TTL
	if r.Missing {
		ttl = missingTTL
	}
	return g.Now().Sub(r.At).Abs() < ttl
}

// ask resolves a tag at the upstream and remembers the answer.
func (g *Gate) ask(ctx context.Context, ref policy.Reference, name string) (policy.Resolution, error) {
	if held, ok := g.Tags.Resolution(ctx, name); ok && g.fresh(held) {
		return held, nil // somebody asked between our look and our turn
	}
	r, err := g.Upstream.Resolve(ctx, ref.Upstream, ref.Repository, ref.Tag)
	if statusOf(err) == http.StatusNotFound {
		r = policy.Resolution{Missing: true, At: g.Now()}
		g.Tags.PutResolution(ctx, name, r, missingTTL)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.At = g.Now()
	g.Tags.PutResolution(ctx, name, r, max(g.TTL, g.Stale))
	return r, nil
}
