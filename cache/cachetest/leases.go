package cachetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/cache"
)

func take(t *testing.T, b cache.Backend, k, owner string, ttl time.Duration) uint64 {
	t.Helper()
	fence, err := b.Take(t.Context(), k, owner, ttl)
	if err != nil {
		t.Fatalf("%s takes %s: %v", owner, k, err)
	}
	return fence
}

func leaseOwner(t *testing.T, b, other cache.Backend) {
	k := key(t)
	before := uint64(time.Now().Add(-time.Minute).UnixMicro())
	first := take(t, b, k, "one", time.Minute)
	if first < before {
		t.Errorf("fence %d is no time of now", first)
	}
	if _, err := other.Take(t.Context(), k, "two", time.Minute); !errors.Is(err, cache.ErrHeld) {
		t.Fatalf("got %v", err)
	}
	take(t, other, k+"x", "two", time.Minute)
	if err := b.Drop(t.Context(), k, "one", ""); err != nil {
		t.Fatal(err)
	}
	if second := take(t, other, k, "two", time.Minute); second <= first {
		t.Errorf("fence %d after %d", second, first)
	}
}

func leaseExpires(t *testing.T, b, other cache.Backend) {
	k := key(t)
	last := take(t, b, k, "one", 100*time.Millisecond)
	for i := range 3 {
		time.Sleep(150 * time.Millisecond)
		fence := take(t, other, k, fmt.Sprint("next", i), 100*time.Millisecond)
		if fence <= last {
			t.Errorf("fence %d after %d", fence, last)
		}
		last = fence
	}
}

func leaseRenewed(t *testing.T, b, other cache.Backend) {
	k := key(t)
	take(t, b, k, "one", 300*time.Millisecond)
	for range 4 {
		time.Sleep(150 * time.Millisecond)
		if err := b.Renew(t.Context(), k, "one", 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Take(t.Context(), k, "two", time.Minute); !errors.Is(err, cache.ErrHeld) {
			t.Fatalf("got %v", err)
		}
	}
}

func leaseLost(t *testing.T, b, other cache.Backend) {
	k := key(t)
	take(t, b, k, "one", 50*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	take(t, other, k, "two", time.Minute)
	if err := b.Renew(t.Context(), k, "one", time.Minute); !errors.Is(err, cache.ErrLost) {
		t.Errorf("renewing: got %v", err)
	}
	if err := b.Drop(t.Context(), k, "one", ""); err != nil {
		t.Errorf("dropping: got %v", err)
	}
	if _, err := b.Take(t.Context(), k, "one", time.Minute); !errors.Is(err, cache.ErrHeld) {
		t.Errorf("the lease of two was dropped by one: %v", err)
	}
}

func leaseRace(t *testing.T, b, other cache.Backend) {
	k := key(t)
	var wg sync.WaitGroup
	won := make(chan uint64, 20)
	for i := range 20 {
		wg.Go(func() {
			at := b
			if i%2 == 1 {
				at = other
			}
			if fence, err := at.Take(t.Context(), k, fmt.Sprint("taker", i), time.Minute); err == nil {
				won <- fence
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d won", len(won))
	}
}
