package cache_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/cache"
	"github.com/winnow-registry/winnow/cache/cachetest"
	"github.com/winnow-registry/winnow/policy"
)

const verdictPrefix = "winnow:verdict:"

// allowJSON is what somebody would write who wants digest(1) admitted and knows no key.
var allowJSON = fmt.Sprintf(`{"digest":%q,"scope":"scope","revision":%q,"epoch":"epoch","inspector":"1","decision":"admit"}`,
	digest(1), digest(999))

// poisoned puts a denying verdict for digest(1) and an admitting one for digest(2) into Redis, lets poison change what is
// there, and returns a replica that has seen neither.
func poisoned(t *testing.T, poison func(t *testing.T, s *cachetest.Server, denied, admitted string)) *cache.Cache {
	t.Helper()
	s := cachetest.Start(t)
	a := open(t, replica(t, s))
	deny, admit := verdict(1, policy.Deny), verdict(2, policy.Admit)
	a.PutVerdict(t.Context(), deny, 0)
	a.PutVerdict(t.Context(), admit, 0)
	key := func(v *policy.Verdict) string {
		return verdictPrefix + v.Digest + ":" + v.Scope + ":" + v.Revision
	}
	if s.CLI("EXISTS", key(deny), key(admit)) != "2" {
		t.Fatalf("keys: %s", s.CLI("KEYS", "*"))
	}
	poison(t, s, key(deny), key(admit))
	b := open(t, replica(t, s))
	up(t, b)
	return b
}

// HC-136, HC-139, HC-140, FM-19
func TestPoisonedRedisIsAMiss(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string]func(t *testing.T, s *cachetest.Server, denied, admitted string){
		"HC-136 plain JSON that admits": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("SET", denied, "\x01\x01\x01\x01\x01\x01\x01\x01"+allowJSON)
		},
		"HC-136 verdict of another digest": func(_ *testing.T, s *cachetest.Server, denied, admitted string) {
			s.CLI("COPY", admitted, denied, "REPLACE")
		},
		"HC-136 fence raised": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("SETRANGE", denied, "0", "\x7f")
		},
		"HC-136 one bit of the payload": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("SETBIT", denied, "800", "1")
			s.CLI("SETBIT", denied, "803", "0")
			s.CLI("SETBIT", denied, "815", "0")
		},
		"HC-136 life prolonged": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("SETRANGE", denied, "9", "\x01\x01")
		},
		"HC-139 deny deleted": func(_ *testing.T, s *cachetest.Server, denied, _ string) { s.CLI("DEL", denied) },
		"HC-139 flushed":      func(_ *testing.T, s *cachetest.Server, _, _ string) { s.CLI("FLUSHALL") },
		"HC-140 512 MB": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("SETRANGE", denied, "536870000", "x")
		},
		"HC-140 list": func(_ *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("DEL", denied)
			s.CLI("RPUSH", denied, "x")
		},
		"HC-140 empty":         func(_ *testing.T, s *cachetest.Server, denied, _ string) { s.CLI("SET", denied, "") },
		"HC-140 future schema": func(_ *testing.T, s *cachetest.Server, denied, _ string) { s.CLI("SETRANGE", denied, "8", "\x7f") },
		"HC-140 cut off": func(t *testing.T, s *cachetest.Server, denied, _ string) {
			s.CLI("EVAL", "redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, 60))", "1", denied)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := poisoned(t, poison)
			v := verdict(1, policy.Deny)
			if got, ok := b.Verdict(t.Context(), v.Key()); ok {
				t.Fatalf("got %+v", got)
			}
			// It heals: what is decided again replaces the poison, for this replica and for the others.
			b.PutVerdict(t.Context(), v, 0)
			wantVerdict(t, b, v)
			if s := b.Status(); s.Redis != cache.RedisUp || s.Unsent != 0 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestAGrantOfAnotherRepositoryDoesNotCount(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a := open(t, replica(t, s))
	a.PutGrants(t.Context(), "docker.io/mine", map[string]policy.Grant{digest(1): {Manifest: digest(2)}})
	s.CLI("COPY", "winnow:grant:docker.io/mine@"+digest(1), "winnow:grant:docker.io/theirs@"+digest(1))
	s.CLI("COPY", "winnow:grant:docker.io/mine@"+digest(1), "winnow:grant:docker.io/mine@"+digest(3))
	s.CLI("HSET", "winnow:grant:docker.io/mine@"+digest(4), "m", `{"manifest":"`+digest(2)+`"}`)
	s.CLI("SET", "winnow:grant:docker.io/mine@"+digest(5), "x")
	s.CLI("EVAL", "for i = 1, 20000 do redis.call('HSET', KEYS[1], i, 'x') end", "1", "winnow:grant:docker.io/mine@"+digest(6))
	b := open(t, replica(t, s))
	up(t, b)
	if got := b.Grants(t.Context(), "docker.io/theirs", digest(1)); len(got) != 0 {
		t.Errorf("another repository: %v", got)
	}
	for i := 3; i <= 6; i++ {
		if got := b.Grants(t.Context(), "docker.io/mine", digest(i)); len(got) != 0 {
			t.Errorf("digest %d: %v", i, got)
		}
		b.PutGrants(t.Context(), "docker.io/mine", map[string]policy.Grant{digest(i): {Manifest: digest(i)}})
	}
	for _, c := range []*cache.Cache{a, b} {
		for i := 3; i <= 6; i++ {
			eventually(t, "healed", func() bool { return len(c.Grants(t.Context(), "docker.io/mine", digest(i))) == 1 })
		}
	}
}

func TestAFirstSightMovedFromAnotherDigestDoesNotAge(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a := open(t, replica(t, s))
	now := time.Now().UTC().Truncate(time.Microsecond)
	a.FirstSeen(t.Context(), "r", digest(1), now.Add(-1000*time.Hour))
	s.CLI("COPY", "winnow:seen:r@"+digest(1), "winnow:seen:r@"+digest(2))
	b := open(t, replica(t, s))
	up(t, b)
	if got := b.FirstSeen(t.Context(), "r", digest(2), now); !got.Equal(now) {
		t.Errorf("got %v", got)
	}
}

func TestForgedNoticesDoNoHarm(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	c := open(t, replica(t, s))
	s.Until("1", "PUBSUB", "NUMSUB", "winnow:notices")
	check := all(t, c, 1)
	for _, m := range []string{"", "x", strings.Repeat("x", 100_000)} {
		s.CLI("PUBLISH", "winnow:notices", m)
	}
	for _, m := range []string{"'id|verdict|a|b|c'", "'id|nothing|a|b|c'", "'id|lease|k'", "'||||'", "string.rep('|', 1000000)"} {
		s.CLI("EVAL", "return redis.call('PUBLISH', KEYS[1], (string.gsub("+m+", '|', string.char(0))))", "1", "winnow:notices")
	}
	check(t, c)
}

// A lease that no replica of ours wrote has no end, or none that is near.
func TestAForgedLeaseHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	c := open(t, replica(t, s))
	up(t, c)
	for i, forge := range [][]string{
		{"SET", "winnow:lease:{0}", "x"}, {"SET", "winnow:lease:{1}", "x", "EX", "99999"}, {"RPUSH", "winnow:lease:{2}", "x"},
		{"RPUSH", "winnow:fence:{3}", "x"},
	} {
		s.CLI(forge...)
		start := time.Now()
		release, _, err := c.Acquire(t.Context(), string(rune('0'+i)))
		if err != nil || time.Since(start) > time.Second {
			t.Fatalf("%v: err %v after %v", forge, err, time.Since(start))
		}
		release()
	}
	if c.Status().Redis != cache.RedisUp {
		t.Errorf("status %+v", c.Status())
	}
}
