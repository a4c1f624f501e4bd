package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/cache"
	"github.com/winnow-registry/winnow/cache/cachetest"
	"github.com/winnow-registry/winnow/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica returns the options of one replica on servers, with its own folder and the key that all share.
func replica(t *testing.T, servers ...*cachetest.Server) cache.Options {
	t.Helper()
	dir := t.TempDir()
	opts := cache.Options{Path: filepath.Join(dir, "cache.db"), Log: zap.NewNop()}
	if len(servers) > 0 {
		opts.Redis.Addresses = cachetest.Addrs(servers)
		opts.MACKeyFile = filepath.Join(dir, "mac.key")
		writeFile(t, opts.MACKeyFile, "0123456789abcdef0123456789ABCDEF0123456789abcdef\n", 0o600)
	}
	return opts
}

func writeFile(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func open(t *testing.T, opts cache.Options) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func verdict(n int, d policy.Decision) *policy.Verdict {
	return &policy.Verdict{
		Digest: digest(n), Scope: "scope", Revision: digest(999), Epoch: "epoch", Inspector: "1", Decision: d,
		Violations: []policy.Violation{{Rule: "no-root", Policy: "baseline", Action: policy.ActionDeny, Message: "runs as root"}},
		Decided:    time.Now().UTC().Round(0),
	}
}

// eventually waits for what happens in the background, on a busy machine.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

func up(t *testing.T, c *cache.Cache) {
	t.Helper()
	eventually(t, "redis is up", func() bool { return c.Status().Redis == cache.RedisUp })
}

func wantVerdict(t *testing.T, c *cache.Cache, want *policy.Verdict) {
	t.Helper()
	got, ok := c.Verdict(t.Context(), want.Key())
	if !ok {
		t.Fatalf("verdict of %s is not remembered", want.Digest)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// all puts one of each kind and returns a check that c remembers them.
func all(t *testing.T, c *cache.Cache, n int) (check func(*testing.T, *cache.Cache)) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	v := verdict(n, policy.Deny)
	r := policy.Resolution{Digest: digest(n), MediaType: "application/vnd.oci.image.index.v1+json", Size: 7, At: now}
	g := policy.Grant{Manifest: digest(n), Via: policy.Via{Tag: "1.27"}, Size: 3}
	repo, tag := "docker.io/library/nginx", fmt.Sprintf("docker.io/library/nginx:%d", n)
	c.PutVerdict(ctx, v, 0)
	c.PutResolution(ctx, tag, r, time.Hour)
	c.PutGrants(ctx, repo, map[string]policy.Grant{digest(n + 1000): g})
	first := c.FirstSeen(ctx, repo, digest(n), now)
	return func(t *testing.T, c *cache.Cache) {
		t.Helper()
		wantVerdict(t, c, v)
		if got, ok := c.Resolution(t.Context(), tag); !ok || !cmp.Equal(r, got) {
			t.Errorf("resolution: %v %s", ok, cmp.Diff(r, got))
		}
		if diff := cmp.Diff([]policy.Grant{g}, c.Grants(t.Context(), repo, digest(n+1000))); diff != "" {
			t.Errorf("grants: %s", diff)
		}
		if got := c.FirstSeen(t.Context(), repo, digest(n), time.Now()); !got.Equal(first) {
			t.Errorf("first seen %v, want %v", got, first)
		}
	}
}

// FM-24
func TestWithoutRedisEverythingIsRememberedAcrossARestart(t *testing.T) {
	t.Parallel()
	opts := replica(t)
	c, err := cache.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	check := all(t, c, 1)
	check(t, c)
	if s := c.Status(); s.Redis != cache.RedisOff {
		t.Errorf("status %+v", s)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(opts.Path + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", info, err)
	}
	check(t, open(t, opts))
}

func TestWhatOneReplicaRemembersTheOtherKnows(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a, b := open(t, replica(t, s)), open(t, replica(t, s))
	all(t, a, 1)(t, b)
	all(t, b, 2)(t, a)
}

// A message about the change makes the other replica ask again long before its memory would.
func TestAChangeReachesTheMemoryOfOtherReplicas(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a, b := open(t, replica(t, s)), open(t, replica(t, s))
	old, changed := verdict(1, policy.Admit), verdict(1, policy.Deny)
	changed.Decided = old.Decided.Add(time.Second)
	a.PutVerdict(t.Context(), old, 0)
	wantVerdict(t, b, old)
	s.Until("2", "PUBSUB", "NUMSUB", "winnow:notices")
	wantVerdict(t, b, old)
	a.PutVerdict(t.Context(), changed, 0)
	eventually(t, "b sees the change", func() bool {
		v, ok := b.Verdict(t.Context(), changed.Key())
		return ok && v.Decision == policy.Deny
	})
}

// The message may be lost: then the bounded time in memory heals it.
func TestALostMessageIsHealedWithinLocalTTL(t *testing.T) {
	t.Parallel()
	s, elsewhere := cachetest.Start(t), cachetest.Start(t)
	opts := replica(t, s)
	opts.LocalTTL = 500 * time.Millisecond
	c, o := open(t, opts), open(t, replica(t, elsewhere))
	up(t, c)
	up(t, o)
	tag, now := "docker.io/a:1", time.Now()
	c.PutResolution(t.Context(), tag, policy.Resolution{Digest: digest(1), At: now}, time.Hour)
	o.PutResolution(t.Context(), tag, policy.Resolution{Digest: digest(2), At: now.Add(time.Second)}, time.Hour)
	// What another replica wrote arrives without a message.
	elsewhere.CLI("MIGRATE", "127.0.0.1", s.Port(), "winnow:tag:"+tag, "0", "5000", "COPY", "REPLACE")
	eventually(t, "the change is seen", func() bool {
		r, _ := c.Resolution(t.Context(), tag)
		return r.Digest == digest(2)
	})
}

func TestGrantsOfSeveralManifestsStandSideBySide(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a, b := open(t, replica(t, s)), open(t, replica(t, s))
	for i, c := range []*cache.Cache{a, b, a} {
		c.PutGrants(t.Context(), "ghcr.io/org/app", map[string]policy.Grant{digest(7): {Manifest: digest(i), Size: 1}})
	}
	for _, c := range []*cache.Cache{a, b} {
		eventually(t, "all three are known", func() bool { return len(c.Grants(t.Context(), "ghcr.io/org/app", digest(7))) == 3 })
		if got := c.Grants(t.Context(), "ghcr.io/org/other", digest(7)); len(got) != 0 {
			t.Errorf("another repository has %v", got)
		}
	}
}

func TestTheEarliestFirstSightWins(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	a, b := open(t, replica(t, s)), open(t, replica(t, s))
	now := time.Now().UTC().Truncate(time.Microsecond)
	if got := a.FirstSeen(t.Context(), "r", digest(1), now); !got.Equal(now) {
		t.Errorf("got %v", got)
	}
	if got := b.FirstSeen(t.Context(), "r", digest(1), now.Add(time.Hour)); !got.Equal(now) {
		t.Errorf("a later sight: %v", got)
	}
	earlier := now.Add(-time.Hour)
	if got := b.FirstSeen(t.Context(), "r", digest(1), earlier); !got.Equal(earlier) {
		t.Errorf("an earlier sight: %v", got)
	}
	eventually(t, "a learns of it", func() bool { return a.FirstSeen(t.Context(), "r", digest(1), now).Equal(earlier) })
}

func TestAVerdictOfALostLeaseIsRefused(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string][]*cachetest.Server{"embedded": nil, "redis": {cachetest.Start(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, replica(t, servers...))
			late, current := verdict(1, policy.Admit), verdict(1, policy.Deny)
			release, older, err := c.Acquire(t.Context(), digest(1))
			if err != nil {
				t.Fatal(err)
			}
			release()
			release2, newer, err := c.Acquire(t.Context(), digest(1))
			if err != nil {
				t.Fatal(err)
			}
			defer release2()
			if newer <= older {
				t.Fatalf("fence %d after %d", newer, older)
			}
			c.PutVerdict(t.Context(), current, newer)
			c.PutVerdict(t.Context(), late, older)
			wantVerdict(t, c, current)
		})
	}
}

func TestReadyWithoutWaitingForRedis(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	opts := replica(t, s)
	s.Kill()
	first := open(t, opts) // makes the file
	_ = first.Close()
	fastest := time.Hour
	for range 5 {
		start := time.Now()
		c, err := cache.Open(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, time.Since(start))
		_ = c.Close()
	}
	if fastest > 20*time.Millisecond {
		t.Errorf("opening took %v at best", fastest)
	}
}
