package cache

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

// maxNotice bounds a message that is looked at, in bytes: three digests or names and their marks.
const maxNotice = 4096

// noticeMark stands between the parts of a message. No name of ours holds it.
const noticeMark = "\x00"

// A notice says that an entry changed, so that other replicas forget what they have in memory. It is not sealed: all that
// a forged one can do is make a replica ask again.
type notice struct {
	kind    kind
	a, b, c string
}

// releasedMark is the mark of a message that a lease was given back, in place of a kind.
const releasedMark = "lease"

func newID() string { return rand.Text() }

func (c *Cache) message(n notice) string {
	return strings.Join([]string{c.id, n.kind.String(), n.a, n.b, n.c}, noticeMark)
}

func (c *Cache) releaseMessage(key string) string {
	return strings.Join([]string{c.id, releasedMark, key}, noticeMark)
}

// listen follows the notices of other replicas until ctx ends.
func (c *Cache) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if c.redis.up.Load() {
			// What was missed while there was no connection may be about anything.
			_ = c.redis.backend.Subscribe(ctx, c.forget, c.receive)
		}
		sleep(ctx, probeEvery)
	}
}

func (c *Cache) forget() {
	c.verdicts.memory.purge()
	c.explanations.memory.purge()
	c.resolutions.memory.purge()
	c.seen.memory.purge()
	c.grants.purge()
}

// receive takes a message of any origin.
func (c *Cache) receive(message string) {
	if len(message) > maxNotice {
		return
	}
	parts := strings.Split(message, noticeMark)
	switch {
	case len(parts) == 3 && parts[1] == releasedMark:
		c.released.publish(parts[2])
	case len(parts) == 5 && parts[0] != c.id:
		c.drop(parts[1], parts[2], parts[3], parts[4])
	}
}

func (c *Cache) drop(kind, a, b, revision string) {
	switch kind {
	case kindExplanation.String():
		c.explanations.memory.remove(a)
	case kindVerdict.String():
		c.verdicts.memory.remove(policy.VerdictKey{Digest: a, Scope: b, Revision: revision})
	case kindResolution.String():
		c.resolutions.memory.remove(a)
	case kindSeen.String():
		c.seen.memory.remove(repositoryDigest{a, b})
	case kindGrant.String():
		c.grants.remove(repositoryDigest{a, b})
	}
}
