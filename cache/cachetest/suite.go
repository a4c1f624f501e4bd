package cachetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/cache"
)

// Run checks what Cache relies on, each in a subtest of its name. other, when not nil, is a second connection to the same
// data: for what one replica does and another must see; nil means that b itself is.
func Run(t *testing.T, b, other cache.Backend) {
	t.Helper()
	if other == nil {
		other = b
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b, other cache.Backend)
	}{
		{"what was never written is a miss", missing},
		{"a value is read as it was written", roundTrip},
		{"an older fence does not replace a newer one", fenced},
		{"replace does, whatever the fence", replaced},
		{"an entry ends with its time", expires},
		{"members of a set stand side by side", members},
		{"a set keeps the newest and is bounded", boundedSet},
		{"many writes in one go", batch},
		{"a lease has one owner", leaseOwner},
		{"a lease ends with its time and fences grow", leaseExpires},
		{"a renewed lease stays", leaseRenewed},
		{"a lost lease is not renewed and not dropped", leaseLost},
		{"of many takers one wins", leaseRace},
		{"a notice reaches subscribers when the write took effect", notices},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b, other) })
	}
}

func key(t *testing.T) string {
	return fmt.Sprintf("winnow:cachetest:%s:%d", t.Name(), time.Now().UnixNano())
}

func write(t *testing.T, b cache.Backend, w cache.Write) (refused int) {
	t.Helper()
	if w.TTL == 0 {
		w.TTL = time.Minute
	}
	refused, err := b.Write(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

func wantValue(t *testing.T, b cache.Backend, key, value string, fence uint64) {
	t.Helper()
	got, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	if diff := cmp.Diff(cache.Entry{Value: []byte(value), Fence: fence}, got); diff != "" {
		t.Error(diff)
	}
}

func missing(t *testing.T, b, _ cache.Backend) {
	if _, err := b.Get(t.Context(), key(t)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("value: got %v", err)
	}
	if _, err := b.Members(t.Context(), key(t)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("set: got %v", err)
	}
}

func roundTrip(t *testing.T, b, other cache.Backend) {
	k, value := key(t), string([]byte{0, 1, 0xff, '\r', '\n', '$'})+string(bytes.Repeat([]byte("x"), 100_000))
	write(t, b, cache.Write{Key: k, Value: []byte(value), Fence: 7})
	wantValue(t, other, k, value, 7)
	write(t, b, cache.Write{Key: k, Value: []byte("again"), Fence: 7})
	wantValue(t, other, k, "again", 7)
}

func fenced(t *testing.T, b, other cache.Backend) {
	k := key(t)
	// Fences are times in microseconds: their order must hold there, next to each other, and where a byte turns over.
	for _, pair := range [][2]uint64{{1, 2}, {255, 256}, {1_790_000_000_000_000, 1_790_000_000_000_001}, {1<<53 - 2, 1<<53 - 1}} {
		write(t, b, cache.Write{Key: k, Value: []byte("new"), Fence: pair[1]})
		if n := write(t, other, cache.Write{Key: k, Value: []byte("old"), Fence: pair[0]}); n != 1 {
			t.Errorf("fence %d over %d: refused %d", pair[0], pair[1], n)
		}
		wantValue(t, other, k, "new", pair[1])
	}
}

func replaced(t *testing.T, b, other cache.Backend) {
	k := key(t)
	write(t, b, cache.Write{Key: k, Value: []byte("poison"), Fence: 1 << 60})
	if n := write(t, b, cache.Write{Key: k, Value: []byte("ours"), Fence: 5, Replace: true}); n != 0 {
		t.Errorf("refused %d", n)
	}
	wantValue(t, other, k, "ours", 5)
}

func expires(t *testing.T, b, other cache.Backend) {
	k, set := key(t), key(t)+"set"
	write(t, b, cache.Write{Key: k, Value: []byte("v"), Fence: 9, TTL: 150 * time.Millisecond})
	write(t, b, cache.Write{Key: set, Member: "m", Value: []byte("v"), TTL: 150 * time.Millisecond})
	wantValue(t, other, k, "v", 9)
	time.Sleep(400 * time.Millisecond)
	if _, err := other.Get(t.Context(), k); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("value: got %v", err)
	}
	if _, err := other.Members(t.Context(), set); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("set: got %v", err)
	}
	if n := write(t, b, cache.Write{Key: k, Value: []byte("v"), Fence: 1}); n != 0 {
		t.Error("an expired value refused a write")
	}
}

func members(t *testing.T, b, other cache.Backend) {
	k := key(t)
	write(t, b, cache.Write{Key: k, Member: "a", Value: []byte("1")})
	write(t, other, cache.Write{Key: k, Member: "b", Value: []byte("2")})
	write(t, b, cache.Write{Key: k, Member: "a", Value: []byte("3")})
	write(t, b, cache.Write{Key: k + "2", Member: "c", Value: []byte("not of this set")})
	got, err := other.Members(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"a": []byte("3"), "b": []byte("2")}, got); diff != "" {
		t.Error(diff)
	}
}

func boundedSet(t *testing.T, b, other cache.Backend) {
	k, last := key(t), ""
	for i := range 2 * cache.MaxMembers {
		last = fmt.Sprint("member", i)
		write(t, b, cache.Write{Key: k, Member: last, Value: []byte("v")})
		if i%50 == 0 {
			time.Sleep(60 * time.Millisecond) // lets a backend that writes behind do so
		}
	}
	got, err := other.Members(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > cache.MaxMembers || len(got) < cache.MaxMembers/2 {
		t.Errorf("%d members", len(got))
	}
	if _, ok := got[last]; !ok {
		t.Error("the newest is not among them")
	}
}

func batch(t *testing.T, b, other cache.Backend) {
	k := key(t)
	var writes []cache.Write
	for i := range 150 {
		writes = append(writes,
			cache.Write{Key: fmt.Sprint(k, i), Value: []byte(fmt.Sprint(i)), Fence: 1, TTL: time.Minute},
			cache.Write{Key: fmt.Sprint(k, "set", i), Member: "m", Value: []byte(fmt.Sprint(i)), TTL: time.Minute})
	}
	write(t, b, cache.Write{Key: fmt.Sprint(k, 3), Value: []byte("newer"), Fence: 2})
	refused, err := b.Write(t.Context(), writes...)
	if err != nil || refused != 1 {
		t.Fatalf("refused %d, err %v", refused, err)
	}
	wantValue(t, other, fmt.Sprint(k, 3), "newer", 2)
	wantValue(t, other, fmt.Sprint(k, 149), "149", 1)
	if m, err := other.Members(t.Context(), fmt.Sprint(k, "set", 77)); err != nil || string(m["m"]) != "77" {
		t.Errorf("members %q, err %v", m, err)
	}
}

func notices(t *testing.T, b, other cache.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	joined, got, ended := make(chan struct{}, 8), make(chan string, 64), make(chan struct{})
	go func() {
		defer close(ended)
		_ = other.Subscribe(ctx, func() { joined <- struct{}{} }, func(m string) { got <- m })
	}()
	defer func() { cancel(); <-ended }()
	select {
	case <-joined:
	case <-time.After(10 * time.Second):
		t.Fatal("not joined")
	}
	k := key(t)
	write(t, b, cache.Write{Key: k, Value: []byte("v"), Fence: 2, Notice: "one"})
	write(t, b, cache.Write{Key: k, Value: []byte("v"), Fence: 1, Notice: "refused"})
	write(t, b, cache.Write{Key: k + "set", Member: "m", Value: []byte("v"), Notice: "two\x00parts"})
	take(t, b, k, "owner", time.Minute)
	if err := b.Drop(t.Context(), k, "owner", "three"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two\x00parts", "three"} {
		select {
		case m := <-got:
			if m != want {
				t.Errorf("got %q, want %q", m, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q did not come", want)
		}
	}
}
