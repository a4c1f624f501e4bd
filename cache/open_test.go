package cache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/winnow-registry/winnow/cache"
)

func TestBadOptionsAreRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	redis := cache.Redis{Addresses: []string{"127.0.0.1:1"}}
	for _, test := range []struct {
		name, key string
		mode      os.FileMode
		change    func(*cache.Options)
		want      string
	}{
		{"redis without a key", "", 0o600, func(o *cache.Options) { o.MACKeyFile = "" }, "head -c 32 /dev/urandom | base64"},
		{"key that is not there", "", 0o600, func(o *cache.Options) { o.MACKeyFile += ".not" }, "no such file"},
		{"empty key", "", 0o600, nil, "holds 0 bytes"},
		{"short key", "only thirty-one bytes, not more", 0o600, nil, "fewer than 32"},
		{"base64 of a short key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQ==", 0o600, nil, "holds 31 bytes"},
		{"zeros", string(make([]byte, 64)), 0o600, nil, "one byte again and again"},
		{"endless key", strings.Repeat("ab1!", 9999), 0o600, nil, "longer than"},
		{"key for everybody", strings.Repeat("ab1!", 10), 0o644, nil, "chmod o-rwx"},
		{"no path", strings.Repeat("ab1!", 10), 0o600, func(o *cache.Options) { o.Path = "" }, "cache.embedded.path"},
		{"password file that is not there", strings.Repeat("ab1!", 10), 0o600,
			func(o *cache.Options) { o.Redis.PasswordFile = "/nonexistent/password" }, "password of redis"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			opts := cache.Options{Path: filepath.Join(dir, "c.db"), MACKeyFile: filepath.Join(dir, "key"), Redis: redis}
			writeFile(t, opts.MACKeyFile, test.key, test.mode)
			if test.change != nil {
				test.change(&opts)
			}
			c, err := cache.Open(t.Context(), opts)
			if err == nil {
				_ = c.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, test.want)
			}
		})
	}
}

func TestASecondWinnowOnOneFileIsToldSo(t *testing.T) {
	t.Parallel()
	opts := replica(t)
	open(t, opts)
	c, err := cache.Open(t.Context(), opts)
	if err == nil {
		_ = c.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), "another winnow uses it") {
		t.Errorf("got %q", err)
	}
}

func TestACorruptFileIsMovedAsideAndSaid(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(b []byte) []byte{
		"no database":   func([]byte) []byte { return []byte("this is no database") },
		"random pages":  func(b []byte) []byte { copy(b, bytes.Repeat([]byte{0xa5}, 8192)); return b },
		"cut off":       func(b []byte) []byte { return b[:len(b)/2] },
		"pages of data": func(b []byte) []byte { copy(b[8192:], bytes.Repeat([]byte{0xa5}, len(b)-8192)); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := replica(t)
			c, err := cache.Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 300 {
				all(t, c, i)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(opts.Path)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, opts.Path, string(damage(b)), 0o600)

			core, logs := observer.New(zap.ErrorLevel)
			opts.Log = zap.New(core)
			c = open(t, opts)
			for i := range 300 {
				all(t, c, i)(t, c)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if logs.FilterMessageSnippet("was corrupt").Len() == 0 {
				t.Errorf("not said: %v", logs.All())
			}
			aside, _ := filepath.Glob(opts.Path + ".corrupt-*")
			if len(aside) == 0 {
				t.Error("not moved aside")
			}
			all(t, open(t, opts), 1)
		})
	}
}

func TestTheFileStaysBounded(t *testing.T) {
	t.Parallel()
	b, err := cache.OpenEmbedded(filepath.Join(t.TempDir(), "c.db"), 4<<20, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cache.FillAndSweep(t, b, 16<<20)
}

func TestMetricsAreRegisteredOnceAndGiven(t *testing.T) {
	t.Parallel()
	opts := replica(t)
	reg := prometheus.NewPedanticRegistry()
	opts.Registerer = reg
	c := open(t, opts)
	all(t, c, 1)(t, c)
	n, err := testutil.GatherAndCount(reg)
	if err != nil || n == 0 {
		t.Fatalf("%d metrics, err %v", n, err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	other := replica(t)
	other.Registerer = reg
	if second, err := cache.Open(t.Context(), other); err == nil {
		_ = second.Close()
		t.Error("two caches on one registerer")
	}
}
