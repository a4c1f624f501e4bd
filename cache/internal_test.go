package cache

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

// FillAndSweep writes total bytes, more than b may hold, and checks that sweeping keeps it within twice its bound while
// it grows, and keeps times of first sight longest.
func FillAndSweep(t *testing.T, b *EmbeddedBackend, total int) {
	t.Helper()
	ctx, value := context.Background(), make([]byte, 1000)
	first := seenKey(repositoryDigest{"r", "first"})
	if _, err := b.Write(ctx, Write{Key: first, Value: value, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for i := range total / len(value) {
		_, err := b.Write(ctx, Write{Key: fmt.Sprint(prefix, "verdict:", i), Value: value, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			for b.unwrittenBytes() > 0 {
				time.Sleep(5 * time.Millisecond)
			}
			b.sweep(time.Now())
			if excess := b.excess(); excess > b.max {
				t.Fatalf("%d bytes too many after %d entries", excess, i)
			}
		}
	}
	if _, err := b.Get(ctx, first); err != nil {
		t.Errorf("the time of first sight is gone: %v", err)
	}
	for b.unwrittenBytes() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	b.sweep(time.Now().Add(2 * time.Hour))
	if _, err := b.Get(ctx, fmt.Sprint(prefix, "verdict:", total/len(value)-1)); err == nil {
		t.Error("an expired entry is still there")
	}
}

func (e *EmbeddedBackend) unwrittenBytes() int64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.bytes
}

func memoryOnly(t testing.TB) (*Cache, *policy.Verdict) {
	t.Helper()
	c, err := Open(context.Background(), Options{Path: filepath.Join(t.TempDir(), "c.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	v := &policy.Verdict{
		Digest: "sha256:" + strings.Repeat("a", 64), Scope: strings.Repeat("b", 64), Revision: "sha256:" + strings.Repeat("c", 64),
		Decision: policy.Admit, Decided: time.Now(),
	}
	c.PutVerdict(context.Background(), v, 0)
	c.PutGrants(context.Background(), "r", map[string]policy.Grant{"d": {Manifest: v.Digest}})
	c.Grants(context.Background(), "r", "d")
	return c, v
}

func TestAHitInMemoryAllocatesNothing(t *testing.T) {
	c, v := memoryOnly(t)
	ctx, key := context.Background(), v.Key()
	if n := testing.AllocsPerRun(1000, func() { c.Verdict(ctx, key) }); n != 0 {
		t.Errorf("verdict: %v", n)
	}
	if n := testing.AllocsPerRun(1000, func() { c.Grants(ctx, "r", "d") }); n != 0 {
		t.Errorf("grants: %v", n)
	}
}

func BenchmarkVerdictHit(b *testing.B) {
	c, v := memoryOnly(b)
	ctx, key := context.Background(), v.Key()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, ok := c.Verdict(ctx, key); !ok {
				b.Error("miss")
			}
		}
	})
}

// HC-150, LD-07
func TestMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	m := newMemory[int, string](1600, 1<<20, 0)
	now := time.Now()
	for i := range 100_000 {
		m.put(i, "v", 1000, time.Time{}, now)
		m.put(i, "v", 500, time.Time{}, now)
	}
	if n, bytes := m.usage(); n > 1600 || bytes > 1<<20 || n == 0 {
		t.Errorf("%d entries, %d bytes", n, bytes)
	}
	m.put(1, "v", 1<<20, time.Time{}, now)
	if _, _, ok := m.get(1, now); ok {
		t.Error("a value larger than its shard is kept")
	}
	m.purge()
	if n, bytes := m.usage(); n != 0 || bytes != 0 {
		t.Errorf("after purge: %d entries, %d bytes", n, bytes)
	}
}

func TestMemoryAges(t *testing.T) {
	t.Parallel()
	m := newMemory[string, int](1600, 1<<20, 30*time.Second)
	now := time.Now()
	m.put("k", 1, 1, now.Add(time.Hour), now)
	for _, step := range []struct {
		after       time.Duration
		refresh, ok bool
	}{{time.Second, false, true}, {16 * time.Second, true, true}, {16 * time.Second, false, true}, {18 * time.Second, true, true}, {30 * time.Second, false, false}} {
		if _, refresh, ok := m.get("k", now.Add(step.after)); refresh != step.refresh || ok != step.ok {
			t.Errorf("after %v: refresh %v, ok %v", step.after, refresh, ok)
		}
	}
	mark := m.changes("k")
	m.remove("k")
	m.fill("k", 2, 1, time.Time{}, now, mark)
	if _, _, ok := m.get("k", now); ok {
		t.Error("a value that was read before a change was filled in after it")
	}
}

func TestASealBindsEveryPartOfTheName(t *testing.T) {
	t.Parallel()
	s, now := sealer{[]byte(strings.Repeat("k", 32))}, time.Now()
	at := name{key: "winnow:verdict:a:b:c", member: "m", fence: 7}
	sealed := s.seal(at, now.Add(time.Hour), []byte("payload"))
	if p, _, err := s.open(at, sealed, now); err != nil || string(p) != "payload" {
		t.Fatalf("%q %v", p, err)
	}
	for _, other := range []name{
		{key: "winnow:verdict:a:b:d", member: "m", fence: 7}, {key: "winnow:grant:a:b:c", member: "m", fence: 7},
		{key: at.key, member: "n", fence: 7}, {key: at.key + "m", fence: 7}, {key: at.key, member: "m", fence: 8},
	} {
		if _, _, err := s.open(other, sealed, now); err == nil {
			t.Errorf("opens as %+v", other)
		}
	}
	if _, _, err := s.open(at, sealed, now.Add(2*time.Hour)); err == nil {
		t.Error("opens after its end")
	}
	if _, _, err := (sealer{[]byte(strings.Repeat("j", 32))}).open(at, sealed, now); err == nil {
		t.Error("opens with another key")
	}
	for i := range sealed {
		changed := append([]byte(nil), sealed...)
		changed[i] ^= 1
		if _, _, err := s.open(at, changed, now); err == nil {
			t.Errorf("opens with byte %d changed", i)
		}
	}
}

// Random bytes are never a verdict; and a sealed payload is one only of the digest, scope and revision it names.
func FuzzVerdictDecode(f *testing.F) {
	s, k := sealer{[]byte(strings.Repeat("k", 32))}, policy.VerdictKey{Digest: "sha256:d", Scope: "s", Revision: "r"}
	at := name{key: verdictKey(k)}
	f.Add([]byte(`{"digest":"sha256:d","scope":"s","revision":"r","decision":"admit"}`))
	f.Add([]byte(`{"digest":"sha256:e","scope":"s","revision":"r","decision":"admit"}`))
	f.Add(s.seal(name{key: "winnow:other"}, time.Now().Add(time.Hour), []byte(`{"decision":"admit"}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := s.open(at, b, time.Now()); err == nil {
			t.Fatalf("bytes nobody sealed open: %x", b)
		}
		if v, err := decodeVerdict(k, b); err == nil && (v.Key() != k || v.Decision != policy.Admit && v.Decision != policy.Slim && v.Decision != policy.Deny) {
			t.Fatalf("%+v", v)
		}
		if r, err := decodeResolution("", b); err == nil && r.Digest == "" && !r.Missing {
			t.Fatalf("%+v", r)
		}
	})
}
