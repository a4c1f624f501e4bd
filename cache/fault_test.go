package cache_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/winnow-registry/winnow/cache"
	"github.com/winnow-registry/winnow/cache/cachetest"
	"github.com/winnow-registry/winnow/policy"
)

// faultBudget is what a fault of Redis may cost a pull, once.
const faultBudget = 150 * time.Millisecond

// slack is for a machine that runs other tests as well.
const slack = 100 * time.Millisecond

// lookup takes every way to Redis once and returns how long that took.
func lookup(t *testing.T, c *cache.Cache, n int) time.Duration {
	t.Helper()
	start := time.Now()
	c.Verdict(t.Context(), verdict(n, policy.Admit).Key())
	c.Resolution(t.Context(), fmt.Sprint("docker.io/unknown:", n))
	c.Grants(t.Context(), "docker.io/unknown", digest(n))
	return time.Since(start)
}

// FM-15, FM-17, FM-22: whatever happens to Redis costs one short wait and then nothing, what is remembered is served, what is
// put meanwhile is known to other replicas afterwards, and nothing is restarted.
func TestFaultsOfRedis(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		broken, mend func(*cachetest.Server)
		reason       string
	}{
		{"FM-15 refused", (*cachetest.Server).Kill, (*cachetest.Server).Run, "refused"},
		{"FM-16 hung", (*cachetest.Server).Hang, (*cachetest.Server).Resume, "timeout"},
		{"FM-22 READONLY",
			func(s *cachetest.Server) { s.CLI("REPLICAOF", "127.0.0.1", "1") },
			func(s *cachetest.Server) { s.CLI("REPLICAOF", "NO", "ONE") }, "READONLY"},
		{"FM-22 OOM",
			func(s *cachetest.Server) { s.CLI("CONFIG", "SET", "maxmemory", "1") },
			func(s *cachetest.Server) { s.CLI("CONFIG", "SET", "maxmemory", "0") }, "OOM"},
		{"FM-22 NOAUTH",
			func(s *cachetest.Server) {
				s.CLI("ACL", "SETUSER", "admin", "on", "nopass", "allcommands", "allkeys", "allchannels")
				s.CLI("ACL", "SETUSER", "default", "resetpass", ">x")
				s.CLI("--user", "admin", "--pass", "x", "CLIENT", "KILL", "TYPE", "normal")
			},
			func(s *cachetest.Server) {
				s.CLI("--user", "admin", "--pass", "x", "ACL", "SETUSER", "default", "nopass")
			}, "NOAUTH"},
		{"FM-22 NOPERM",
			func(s *cachetest.Server) { s.CLI("ACL", "SETUSER", "default", "-eval", "-getrange", "-set") },
			func(s *cachetest.Server) { s.CLI("ACL", "SETUSER", "default", "+@all") }, "NOPERM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := cachetest.Start(t)
			c, other := open(t, replica(t, s)), open(t, replica(t, s))
			check := all(t, c, 1)
			up(t, c)
			test.broken(s)

			check(t, c) // from memory, before anything noticed
			if took := lookup(t, c, 100); took > faultBudget+slack {
				t.Errorf("the first lookup took %v", took)
			}
			c.PutVerdict(t.Context(), verdict(50, policy.Deny), 0)
			eventually(t, "degraded", func() bool { return c.Status().Redis == cache.RedisDegraded })
			if got := c.Status().Reason; !strings.Contains(got, test.reason) && test.reason != "timeout" {
				t.Errorf("reason %q", got)
			}
			start := time.Now()
			for i := range 200 {
				lookup(t, c, 200+i)
			}
			if took := time.Since(start); took > faultBudget+slack {
				t.Errorf("200 lookups while degraded took %v", took)
			}
			whileDown := all(t, c, 2)
			whileDown(t, c)
			release, fence, err := c.Acquire(t.Context(), digest(3))
			if err != nil || fence == 0 {
				t.Fatalf("lease: fence %d, err %v", fence, err)
			}
			release()

			test.mend(s)
			up(t, c)
			up(t, other)
			eventually(t, "what was put is sent", func() bool { return c.Status().Unsent == 0 })
			whileDown(t, other)
		})
	}
}

// FM-17, LD-14
func TestASlowRedis(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	t.Run("LD-14 of 20 ms is used", func(t *testing.T) {
		opts := replica(t, s)
		opts.Redis.Addresses = []string{slowProxy(t, s.Addr, 20*time.Millisecond)}
		c := open(t, opts)
		up(t, c)
		check := all(t, c, 1)
		eventually(t, "everything is sent", func() bool { return c.Status().Unsent == 0 && c.Status().Redis == cache.RedisUp })
		check(t, open(t, replica(t, s)))
	})
	t.Run("FM-17 of 500 ms is left alone", func(t *testing.T) {
		opts := replica(t, s)
		opts.Redis.Addresses = []string{slowProxy(t, s.Addr, 500*time.Millisecond)}
		c := open(t, opts)
		lookup(t, c, 0) // waits for the first connection, once
		var took time.Duration
		for i := range 100 {
			took += lookup(t, c, i)
			time.Sleep(10 * time.Millisecond)
		}
		if took > faultBudget+2*slack {
			t.Errorf("100 lookups over a second took %v", took)
		}
	})
}

func TestRedisDownAtStartServesFromTheEmbeddedSideAndSaysSo(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	opts := replica(t, s)
	first := open(t, opts)
	check := all(t, first, 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	core, logs := observer.New(zap.InfoLevel)
	opts.Log = zap.New(core)
	c := open(t, opts)
	check(t, c)
	if got := c.Status(); got.Redis != cache.RedisDegraded || got.Reason == "" || got.Since.IsZero() {
		t.Errorf("status %+v", got)
	}
	if got := logs.FilterMessageSnippet("serving from memory and the embedded cache").Len(); got != 1 {
		t.Errorf("said %d times: %v", got, logs.All())
	}
	s.Run()
	up(t, c)
	if got := logs.FilterMessageSnippet("available again").Len(); got != 1 {
		t.Errorf("said %d times: %v", got, logs.All())
	}
}

// FM-18, HC-139
func TestAFlushedRedisIsServedAndRefilledFromThisReplica(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	opts := replica(t, s)
	c := open(t, opts)
	check := all(t, c, 1)
	s.CLI("FLUSHALL")
	check(t, c)
	if err := c.Close(); err != nil { // with it goes the memory
		t.Fatal(err)
	}
	check(t, open(t, opts))
	eventually(t, "redis is refilled", func() bool {
		return strings.Contains(s.CLI("KEYS", "winnow:verdict:*"), digest(1)) && strings.Contains(s.CLI("KEYS", "winnow:grant:*"), digest(1001))
	})
	if _, ok := open(t, replica(t, s)).Verdict(t.Context(), verdict(4, policy.Deny).Key()); ok {
		t.Error("a verdict out of nothing")
	}
}

// FM-21
func TestAFailoverBySentinelNeedsNoRestart(t *testing.T) {
	t.Parallel()
	s := cachetest.StartSentinel(t)
	opts := replica(t, s.Sentinels...)
	opts.Redis.SentinelMaster = cachetest.MasterName
	c := open(t, opts)
	up(t, c)
	check := all(t, c, 1)
	s.Master.Kill()
	lookup(t, c, 1)
	check(t, c)
	eventually(t, "degraded", func() bool { lookup(t, c, 2); return c.Status().Redis == cache.RedisDegraded })
	whileDown := all(t, c, 2)
	up(t, c)
	eventually(t, "the new master has it", func() bool {
		return c.Status().Unsent == 0 && strings.Contains(s.Replica.CLI("KEYS", "winnow:verdict:*"), digest(2))
	})
	check(t, c)
	whileDown(t, c)
}

func TestTheClusterServesTheCache(t *testing.T) {
	t.Parallel()
	nodes := cachetest.Cluster(t)
	a, b := open(t, replica(t, nodes...)), open(t, replica(t, nodes...))
	up(t, a)
	up(t, b)
	for i := range 20 {
		all(t, a, i)(t, b)
	}
	many := map[string]policy.Grant{}
	for i := range 150 {
		many[digest(5000+i)] = policy.Grant{Manifest: digest(1)}
	}
	a.PutGrants(t.Context(), "docker.io/large", many)
	for d := range many {
		if len(b.Grants(t.Context(), "docker.io/large", d)) != 1 {
			t.Fatalf("no grant for %s", d)
		}
	}
	if a.Status().Redis != cache.RedisUp || b.Status().Redis != cache.RedisUp {
		t.Errorf("%+v %+v", a.Status(), b.Status())
	}
	spread := 0
	for _, n := range nodes {
		if n.Keys() > 0 {
			spread++
		}
	}
	if spread != len(nodes) {
		t.Errorf("keys on %d of %d nodes", spread, len(nodes))
	}
}

// FM-22: a Cluster of which one address is given answers MOVED.
func TestOneAddressOfAClusterIsSaidToBeTooFew(t *testing.T) {
	t.Parallel()
	nodes := cachetest.Cluster(t)
	core, logs := observer.New(zap.WarnLevel)
	opts := replica(t, nodes[0])
	opts.Log = zap.New(core)
	c := open(t, opts)
	eventually(t, "degraded", func() bool {
		all(t, c, int(time.Now().UnixMilli()%1000))
		return c.Status().Redis == cache.RedisDegraded
	})
	if got := logs.All()[0].ContextMap()["advice"]; !strings.Contains(fmt.Sprint(got), "several of its nodes") {
		t.Errorf("advice %v", got)
	}
}

func TestTheRedisLibraryWritesToTheLogOnly(t *testing.T) {
	s := cachetest.Start(t)
	opts := replica(t, s)
	s.Kill()
	var stderr bytes.Buffer
	restore := capture(t, &stderr)
	c := open(t, opts)
	lookup(t, c, 1)
	time.Sleep(300 * time.Millisecond)
	restore()
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", stderr.String())
	}
}
