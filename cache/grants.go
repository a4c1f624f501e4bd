package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

// grantKeep is how long a grant is kept that nobody renews. A grant holds only as long as the verdict of its manifest.
const grantKeep = 30 * 24 * time.Hour

// Grants returns who gives repository the right to serve digest, in no particular order. The caller looks up whether the
// verdict of one of those manifests holds, and must not change the slice.
func (c *Cache) Grants(ctx context.Context, repository, digest string) []policy.Grant {
	k := repositoryDigest{repository, digest}
	list, refresh, ok := c.grants.get(k, time.Now())
	if !ok {
		return c.loadGrants(ctx, k)
	}
	c.metrics.lookups[kindGrant][inMemory].Inc()
	if refresh {
		c.refreshGrants(ctx, k)
	}
	return list
}

func (c *Cache) refreshGrants(ctx context.Context, k repositoryDigest) {
	ctx = context.WithoutCancel(ctx)
	c.background(func() { c.loadGrants(ctx, k) })
}

// loadGrants joins what Redis and the embedded store know: each may have lost some, and one grant is as good as another.
func (c *Cache) loadGrants(ctx context.Context, k repositoryDigest) []policy.Grant {
	mark, key := c.grants.changes(k), grantsKey(k)
	members, err := c.redis.members(ctx, key)
	shared := c.openGrants(key, members, inRedis)
	local, _ := c.embedded.Members(ctx, key)
	known := c.openGrants(key, local, inEmbedded)
	asked := err == nil || errors.Is(err, ErrMiss)

	var lost, fresh []Write
	for member, g := range known {
		if _, ok := shared[member]; !ok && asked {
			lost = append(lost, g.write(key, member))
		}
	}
	for member, g := range shared {
		if _, ok := known[member]; !ok {
			fresh = append(fresh, g.write(key, member))
		}
	}
	if len(lost) > 0 && len(shared) < MaxMembers {
		ctx := context.WithoutCancel(ctx)
		c.background(func() { _, _ = c.redis.write(ctx, lost...) })
	}
	c.keepLocally(fresh...)
	return c.join(k, shared, known, mark)
}

func (c *Cache) join(k repositoryDigest, shared, known map[string]granted, mark uint64) []policy.Grant {
	tier := nowhere
	var list []policy.Grant
	var end time.Time
	size := int64(0)
	for t, m := range map[tierName]map[string]granted{inRedis: shared, inEmbedded: known} {
		for _, g := range m {
			if slices.Contains(list, g.Grant) {
				continue
			}
			list = append(list, g.Grant)
			size += int64(2 * len(g.sealed))
			if end.IsZero() || g.expires.Before(end) {
				end = g.expires
			}
			tier = t
		}
	}
	if len(shared) > 0 {
		tier = inRedis
	}
	c.metrics.lookups[kindGrant][tier].Inc()
	if len(list) > 0 {
		c.grants.fill(k, list, size, end, time.Now(), mark)
	}
	return list
}

// granted is a grant as it came out of a tier, verified.
type granted struct {
	policy.Grant
	sealed  []byte
	expires time.Time
}

func (g granted) write(key, member string) Write {
	return Write{Key: key, Member: member, Value: g.sealed, TTL: time.Until(g.expires)}
}

func (c *Cache) openGrants(key string, members map[string][]byte, t tierName) map[string]granted {
	out := map[string]granted{}
	for member, sealed := range members {
		payload, expires, err := c.sealer.open(name{key: key, member: member}, sealed, time.Now())
		if err != nil {
			c.metrics.badSeal(kindGrant, t, err)
			continue
		}
		var g policy.Grant
		if json.Unmarshal(payload, &g) == nil && g.Manifest != "" {
			out[member] = granted{g, sealed, expires}
		}
	}
	return out
}

// grantor names a grant among those of one digest: the manifest and how it was named, which are several rights.
func grantor(g policy.Grant) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{g.Manifest, g.Via.Tag, g.Via.Index}, "\n")))
	return hex.EncodeToString(sum[:16])
}

// PutGrants remembers grants for repository, by granted digest, beside those that other manifests gave. All replicas know
// them when it returns, as far as Redis answers.
func (c *Cache) PutGrants(ctx context.Context, repository string, grants map[string]policy.Grant) {
	expires := time.Now().Add(grantKeep)
	writes := make([]Write, 0, len(grants))
	for digest, g := range grants {
		k := repositoryDigest{repository, digest}
		payload, err := json.Marshal(g)
		if err != nil {
			continue // no field of a grant can do that
		}
		key, member := grantsKey(k), grantor(g)
		sealed := c.sealer.seal(name{key: key, member: member}, expires, payload)
		if len(sealed) > maxMember {
			continue // a name of that length is none that a registry has
		}
		w := granted{g, sealed, expires}.write(key, member)
		w.Notice = c.message(notice{kind: kindGrant, a: repository, b: digest})
		writes = append(writes, w)
	}
	for batch := range slices.Chunk(writes, sendBatch) {
		_, _ = c.redis.write(ctx, batch...)
		_, _ = c.embedded.Write(ctx, batch...)
	}
	for digest := range grants {
		c.grants.remove(repositoryDigest{repository, digest})
	}
}
