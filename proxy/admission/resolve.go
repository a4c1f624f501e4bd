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
	now := g.Now()
	held, ok := g.Tags.Resolution(ctx, name)
	if ok {
		age := now.Sub(held.At).Abs() // a time in the future is no fresher: the clock was set back
		if held.Missing && age < missingTTL {
			return policy.Resolution{}, false, ErrManifestUnknown
		}
		if !held.Missing && age < g.TTL {
			return held, false, nil
		}
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
	case ok && !held.Missing && now.Sub(held.At) < g.Stale:
		g.metrics.stale.Inc()
		g.Log.Warn("using an older resolution", zap.String("reference", name), zap.Time("resolved", held.At), zap.Error(err))
		return held, true, nil
	}
	return policy.Resolution{}, false, err
}

// ask resolves a tag at the upstream and remembers the answer.
func (g *Gate) ask(ctx context.Context, ref policy.Reference, name string) (policy.Resolution, error) {
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
