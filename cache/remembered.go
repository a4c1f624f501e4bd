package cache

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

const (
	// verdictKeep is how long a verdict is kept that says nothing of its end. It holds only as long as its revision and
	// epoch do; this lets Redis forget those that nobody asks for.
	verdictKeep = 30 * 24 * time.Hour
	// seenKeep is how long a time of first sight is kept: longer than any minimum age that a rule would ask for.
	seenKeep = 5 * 365 * 24 * time.Hour
)

// Verdict returns the remembered verdict of that name. The caller asks it whether it still holds.
func (c *Cache) Verdict(ctx context.Context, key policy.VerdictKey) (*policy.Verdict, bool) {
	return c.verdicts.get(ctx, key)
}

// PutVerdict remembers v, made under the lease that gave fence. It is refused when one that was made under a later lease
// is remembered: its maker lost the lease. A fence of 0 stands for the time of the decision.
func (c *Cache) PutVerdict(ctx context.Context, v *policy.Verdict, fence uint64) {
	if fence == 0 {
		fence = uint64(max(v.Decided.UnixMicro(), 0))
	}
	keep := verdictKeep
	if !v.ValidUntil.IsZero() {
		keep = min(keep, time.Until(v.ValidUntil))
	}
	c.verdicts.put(ctx, v.Key(), v, fence, keep)
}

var errForeign = errors.New("entry is about something else")

func decodeVerdict(k policy.VerdictKey, payload []byte) (*policy.Verdict, error) {
	var v policy.Verdict
	if err := json.Unmarshal(payload, &v); err != nil {
		return nil, fmt.Errorf("decoding a verdict: %w", err)
	}
	if v.Key() != k {
		return nil, errForeign
	}
	switch v.Decision {
	case policy.Admit, policy.Slim, policy.Deny:
		return &v, nil
	}
	return nil, errForeign
}

// Explanation returns the refusal that the page of that id explains.
func (c *Cache) Explanation(ctx context.Context, id string) (*policy.Verdict, bool) {
	return c.explanations.get(ctx, id)
}

// PutExplanation remembers v under the id that the refusal's sentence names. A later refusal under that id replaces it.
func (c *Cache) PutExplanation(ctx context.Context, id string, v *policy.Verdict) {
	c.explanations.put(ctx, id, v, uint64(max(v.Decided.UnixMicro(), 0)), verdictKeep)
}

func decodeExplanation(id string, payload []byte) (*policy.Verdict, error) {
	var v policy.Verdict
	if err := json.Unmarshal(payload, &v); err != nil {
		return nil, fmt.Errorf("decoding an explanation: %w", err)
	}
	if policy.WhyID(&v) != id {
		return nil, errForeign
	}
	return &v, nil
}

// Resolution returns what the tag named upstream/repository:tag last led to. Its At says how old that is.
func (c *Cache) Resolution(ctx context.Context, name string) (policy.Resolution, bool) {
	return c.resolutions.get(ctx, name)
}

// PutResolution remembers for keep what the tag of that name leads to, unless a later resolution is remembered.
func (c *Cache) PutResolution(ctx context.Context, name string, r policy.Resolution, keep time.Duration) {
	c.resolutions.put(ctx, name, r, uint64(max(r.At.UnixMicro(), 0)), keep)
}

func decodeResolution(_ string, payload []byte) (policy.Resolution, error) {
	var r policy.Resolution
	if err := json.Unmarshal(payload, &r); err != nil {
		return r, fmt.Errorf("decoding a resolution: %w", err)
	}
	if r.Digest == "" && !r.Missing {
		return r, errForeign
	}
	return r, nil
}

// FirstSeen returns when digest was first seen in repository: now, if it never was. Times are of microseconds. It is set
// once for all replicas; where two set it at once, the earlier wins.
func (c *Cache) FirstSeen(ctx context.Context, repository, digest string, now time.Time) time.Time {
	k := repositoryDigest{repository, digest}
	now = time.UnixMicro(now.UnixMicro()).UTC()
	if at, ok := c.seen.get(ctx, k); ok && !now.Before(at) {
		return at
	}
	if c.seen.put(ctx, k, now, seenFence(now), seenKeep) {
		return now
	}
	if at, ok := c.seen.get(ctx, k); ok && at.Before(now) {
		return at
	}
	return now
}

// seenFence makes the earlier time the newer fence, so that every tier keeps the earliest. It stays below 2^53, where the
// numbers of Redis' scripts end.
func seenFence(at time.Time) uint64 { return 1<<53 - 1 - uint64(max(at.UnixMicro(), 0)) }

func encodeSeen(at time.Time) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), nil
}

func decodeSeen(_ repositoryDigest, payload []byte) (time.Time, error) {
	if len(payload) != 8 {
		return time.Time{}, errForeign
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(payload))).UTC(), nil
}
