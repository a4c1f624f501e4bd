package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// held counts the bytes below the blobs' folder, as the disk has them.
func held(t *testing.T, s *Store) (total int64) {
	t.Helper()
	if err := s.disk.scan(t.Context(), func(o found) { total += o.size }); err != nil {
		t.Error(err)
	}
	return total
}

func TestEvictionKeepsWithinSizeAndSmallObjects(t *testing.T) {
	t.Parallel()
	opts := onDisk(t.TempDir())
	opts.MaxSize = 1 << 20
	s := open(t, opts)
	manifest, manifestDigest := content(1000, 3000)
	if err := s.Put(t.Context(), manifestDigest, manifest); err != nil {
		t.Fatal(err)
	}
	first, _ := content(1, 200_000)
	firstDigest := fetch(t, s, first)
	object, err := s.Open(t.Context(), firstDigest)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	var last string
	for i := range 20 { // four times what the store may hold
		b, _ := content(uint64(i+2), 200_000)
		last = fetch(t, s, b)
	}
	eventually(t, "the store is within its size", func() bool { return held(t, s) <= opts.MaxSize })
	if _, err := s.Stat(t.Context(), manifestDigest); err != nil {
		t.Errorf("a manifest went before the layers: %v", err)
	}
	if _, err := s.Stat(t.Context(), last); err != nil {
		t.Errorf("the object stored last: %v", err)
	}
	_, err = s.Stat(t.Context(), firstDigest)
	wantStatus(t, err, http.StatusNotFound)
	if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, first) {
		t.Errorf("a download of an evicted object: %d bytes, %v", len(got), err)
	}
}

func TestCacheMuchTooSmallServesWithoutErrors(t *testing.T) {
	t.Parallel()
	opts := onDisk(t.TempDir())
	opts.MaxSize = 300_000
	s := open(t, opts)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 30 {
				want, digest := content(uint64((worker+i)%10), 300_000)
				fill, err := s.Fetch(t.Context(), digest, int64(len(want)), from(want))
				if err != nil {
					t.Error(err)
					return
				}
				reader, err := fill.Open(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				_ = reader.Close()
			}
		})
	}
	group.Wait()
}

func TestLastUseOutlivesARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := Open(t.Context(), onDisk(root))
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for i := range 4 {
		b, _ := content(uint64(i), 100_000)
		digests = append(digests, fetch(t, s, b))
	}
	object, err := s.Open(t.Context(), digests[0]) // the oldest is used again
	if err != nil {
		t.Fatal(err)
	}
	_ = object.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts := onDisk(root)
	opts.MaxSize = 300_000
	again := open(t, opts)
	eventually(t, "the store is within its size", func() bool { return held(t, again) <= opts.MaxSize })
	if _, err := again.Stat(t.Context(), digests[0]); err != nil {
		t.Errorf("the object used last before the restart: %v", err)
	}
	_, err = again.Stat(t.Context(), digests[1])
	wantStatus(t, err, http.StatusNotFound)
}

func TestSharedObjectStoreEvictsNothingYoung(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Driver: "inmemory", MaxSize: 1000, SpoolDir: t.TempDir()})
	b, digest := content(1, 100_000)
	fetch(t, s, b)
	s.evict(t.Context())
	if _, err := s.Stat(t.Context(), digest); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	s.opts.Grace = 0
	object, err := s.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := content(2, 100)
	fetch(t, s, other) // the object used last never goes
	s.evict(t.Context())
	if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, b) {
		t.Errorf("an object that is open: %d bytes, %v", len(got), err)
	}
	_ = object.Close()
	s.evict(t.Context())
	_, err = s.Stat(t.Context(), digest)
	wantStatus(t, err, http.StatusNotFound)
}

func TestStartIsQuickWithManyObjects(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const objects = 3000
	for i := range objects {
		addr, _ := parseAddress(digestOf(fmt.Append(nil, i)))
		file := filepath.Join(root, addr.path())
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	s := open(t, onDisk(root))
	if took := time.Since(begun); took > 200*time.Millisecond { // 10 ms on a machine of its own
		t.Errorf("Open took %v", took)
	}
	eventually(t, "everything is counted", func() bool { return s.index.count() == objects && s.index.total.Load() == objects })
}

func TestGCRemovesWhatNobodyWants(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, opts Options) {
		opts.Grace = time.Nanosecond
		s := open(t, opts)
		ctx := t.Context()
		var digests []string
		for i := range 3 {
			b, digest := content(uint64(i), 10_000)
			if err := s.Put(ctx, digest, b); err != nil {
				t.Fatal(err)
			}
			if err := s.Link(ctx, "registry.corp:5443/team/app_x", digest); err != nil {
				t.Fatal(err)
			}
			digests = append(digests, digest)
		}
		damaged, _ := parseAddress(digests[0])
		bad, _ := content(99, 10_000)
		if err := s.driver.PutContent(ctx, damaged.path(), bad); err != nil {
			t.Fatal(err)
		}
		gc := GCOptions{Verify: true, Referenced: func(digest string) bool { return digest != digests[1] }, DryRun: true}
		want := Report{Objects: 3, Bytes: 30_000, Removed: 2, RemovedBytes: 20_000, Damaged: 1, Links: 2}
		dry, err := s.GC(ctx, gc)
		if diff := cmp.Diff(want, dry); diff != "" || err != nil {
			t.Errorf("dry run: %v\n%s", err, diff)
		}
		gc.DryRun = false
		wet, err := s.GC(ctx, gc)
		if diff := cmp.Diff(want, wet); diff != "" || err != nil {
			t.Errorf("after a dry run, which must change nothing: %v\n%s", err, diff)
		}
		again, err := s.GC(ctx, gc)
		if diff := cmp.Diff(Report{Objects: 1, Bytes: 10_000}, again); diff != "" || err != nil {
			t.Errorf("again: %v\n%s", err, diff)
		}
		linked, err := s.Linked(ctx, "registry.corp:5443/team/app_x")
		if diff := cmp.Diff(digests[2:], linked); diff != "" || err != nil {
			t.Errorf("links: %v\n%s", err, diff)
		}
	})
}

func TestGCSparesFetchesUnderWay(t *testing.T) {
	t.Parallel()
	opts := onDisk(t.TempDir())
	opts.Grace = time.Nanosecond
	s := open(t, opts)
	want, digest := content(1, 1000)
	source := newTap()
	fill, err := s.Fetch(t.Context(), digest, 1000, source.source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Write(want); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(s.disk.spool, "another-process-1")
	if err := os.WriteFile(stale, want, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := s.GC(t.Context(), GCOptions{Keep: time.Nanosecond})
	if err != nil || report.Leftovers != 1 {
		t.Errorf("%+v, %v; want one leftover", report, err)
	}
	_ = source.Close()
	if err := fill.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLinksOfRepositoriesStayApart(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, opts Options) {
		s := open(t, opts)
		ctx := t.Context()
		names := []string{"docker.io/library/app", "docker.io/library/app/sub", "a_3a1/x", "a:1/x", "a/_manifests/revisions", "a", "[::1]:5000/x"}
		want := map[string][]string{}
		for i, name := range names {
			for j := range 2 {
				_, digest := content(uint64(10*i+j), 10)
				for range 2 { // again changes nothing
					if err := s.Link(ctx, name, digest); err != nil {
						t.Fatal(err)
					}
				}
				want[name] = append(want[name], digest)
			}
		}
		for name, digests := range want {
			got, err := s.Linked(ctx, name)
			slices.Sort(got)
			slices.Sort(digests)
			if diff := cmp.Diff(digests, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", name, err, diff)
			}
		}
		if got, err := s.Linked(ctx, "never/seen"); len(got) != 0 || err != nil {
			t.Errorf("a repository without links: %v, %v", got, err)
		}
		for _, bad := range []string{"", "/", "a//b", "../a", "a/..", "a/.", strings.Repeat("a", 256)} {
			_, digest := content(1, 1)
			wantStatus(t, s.Link(ctx, bad, digest), http.StatusBadRequest)
			_, err := s.Linked(ctx, bad)
			wantStatus(t, err, http.StatusBadRequest)
		}
	})
}

func FuzzLinkPathsAreReversible(f *testing.F) {
	for _, name := range []string{"docker.io/library/nginx", "registry.corp:5443/a_b", "_3a", "A/Ä", "a/../b"} {
		f.Add(name)
	}
	_, digest := content(1, 1)
	hex := digest[len("sha256:"):]
	f.Fuzz(func(t *testing.T, name string) {
		dir, err := linksPath(name, "sha256")
		if err != nil {
			return
		}
		if filepath.Clean(dir) != dir || !strings.HasPrefix(dir, repositoriesRoot+"/") {
			t.Fatalf("%q leads to %q", name, dir)
		}
		l, ok := linkOfPath(dir + "/" + hex + "/link")
		if !ok || l.name != name || l.addr.text != digest {
			t.Fatalf("%q comes back as %q, %v", name, l.name, ok)
		}
	})
}

func FuzzAddressesAreReversible(f *testing.F) {
	_, digest := content(1, 1)
	f.Add(digest)
	f.Add("sha512:" + strings.Repeat("ab", 64))
	f.Add("sha256:../../etc")
	f.Fuzz(func(t *testing.T, digest string) {
		addr, err := parseAddress(digest)
		if err != nil {
			return
		}
		if back, ok := addressOfPath(addr.path()); !ok || back != addr || filepath.Clean(addr.path()) != addr.path() {
			t.Fatalf("%q comes back as %q", digest, back)
		}
	})
}

func TestHotObjectsStayWithinTheirBytes(t *testing.T) {
	t.Parallel()
	h := newHotObjects(10_000)
	for i := range 200 {
		b, digest := content(uint64(i), 500)
		h.put(digest, b)
		if favourite, favouriteDigest := content(0, 500); !bytes.Equal(h.get(favouriteDigest), favourite) {
			t.Fatalf("after %d objects the one in constant use is gone", i)
		}
		if h.bytes > h.limit || len(h.ring) != len(h.held) {
			t.Fatalf("%d bytes of %d, %d in the ring, %d held", h.bytes, h.limit, len(h.ring), len(h.held))
		}
	}
	if large, digest := content(1, 3000); h.put(digest, large) {
		t.Error("an object of a third of the memory was taken")
	}
	_, favourite := content(0, 500)
	h.remove(favourite)
	if h.get(favourite) != nil {
		t.Error("removed and still there")
	}
}

func TestMetricsCountAndUnregister(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	opts := onDisk(t.TempDir())
	opts.Registerer = registry
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := content(1, 1234)
	fetch(t, s, b)
	want := "# HELP winnow_store_bytes Bytes held, as far as they have been counted.\n# TYPE winnow_store_bytes gauge\nwinnow_store_bytes 1234\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "winnow_store_bytes"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	again, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
