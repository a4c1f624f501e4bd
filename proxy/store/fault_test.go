package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/winnow-registry/winnow/proxy/store/storetest"
)

// mount mounts for the time of a test, which needs root.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("mounting a filesystem needs root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestFullDiskStreamsThroughVerified(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mount(t, "tmpfs", root, "tmpfs", 0, "mode=700,size=2m")
	s := open(t, onDisk(root))
	want, digest := content(1, 8<<20)
	var opened atomic.Int32
	fill, err := s.Fetch(t.Context(), digest, int64(len(want)), func(context.Context) (io.ReadCloser, error) {
		opened.Add(1)
		return io.NopCloser(bytes.NewReader(want)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 5 << 20} {
		reader, err := fill.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Seek(offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want[offset:]) {
			t.Errorf("from %d on a full disk: %d bytes, %v", offset, len(got), err)
		}
		_ = reader.Close()
	}
	err = fill.Wait(t.Context())
	wantStatus(t, err, http.StatusServiceUnavailable)
	if !errors.Is(err, ErrNoSpace) || !errors.Is(s.Err(), ErrNoSpace) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Wait: %v; Err: %v; want one line that says no space", err, s.Err())
	}

	// What does not fit is not stored, and leaves room for what does: the store heals by itself.
	small, smallDigest := content(2, 1<<20)
	fetch(t, s, small)
	if s.Err() != nil {
		t.Errorf("after a write that succeeded: %v", s.Err())
	}
	// And the full disk is no reason to keep the old when the new needs room.
	other, otherDigest := content(3, 1500<<10)
	fetch(t, s, other)
	if _, err := s.Stat(t.Context(), otherDigest); err != nil {
		t.Error(err)
	}
	_, err = s.Stat(t.Context(), smallDigest)
	wantStatus(t, err, http.StatusNotFound)
}

func TestWrongContentOnFullDiskIsNeverComplete(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mount(t, "tmpfs", root, "tmpfs", 0, "mode=700,size=1m")
	s := open(t, onDisk(root))
	want, digest := content(1, 4<<20)
	bad := bytes.Clone(want)
	bad[3<<20] ^= 1
	fill, err := s.Fetch(t.Context(), digest, int64(len(want)), from(bad))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if got, err := io.ReadAll(reader); status(err) != http.StatusBadGateway || len(got) >= len(want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestReadOnlyDirectoryServesAndStreamsThrough(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mount(t, "tmpfs", root, "tmpfs", 0, "mode=700,size=8m")
	s := open(t, onDisk(root))
	held, heldDigest := content(1, 100_000)
	fetch(t, s, held)
	if err := unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}

	object, err := s.Open(t.Context(), heldDigest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, held) {
		t.Errorf("a held object: %d bytes, %v", len(got), err)
	}
	_ = object.Close()

	want, digest := content(2, 300_000)
	fill, err := s.Fetch(t.Context(), digest, int64(len(want)), from(want))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a new object: %d bytes, %v", len(got), err)
	}
	_ = reader.Close()
	if err := fill.Wait(t.Context()); reason(err) != ReasonStorage {
		t.Errorf("Wait: %v, want reason %s", err, ReasonStorage)
	}
	manifest, manifestDigest := content(3, 500)
	if err := s.Put(t.Context(), manifestDigest, manifest); err != nil {
		t.Errorf("a manifest does not pass: %v", err)
	}
	if got, err := s.Get(t.Context(), manifestDigest, 500); err != nil || !bytes.Equal(got, manifest) {
		t.Errorf("a manifest that passed: %d bytes, %v", len(got), err)
	}
	if s.Err() == nil {
		t.Error("Err does not say that nothing can be stored")
	}
	other, err := Open(t.Context(), onDisk(filepath.Join(root, "other")))
	if err == nil {
		_ = other.Close()
		t.Fatal("a store opened in a read-only directory")
	}
	if !strings.Contains(err.Error(), "cannot write to") || strings.Contains(err.Error(), "\n") {
		t.Errorf("opening it says %q", err)
	}
}

func TestDamagedObjectsAreNotFound(t *testing.T) {
	t.Parallel()
	damage := map[string]func(t *testing.T, file string){
		"emptied":  func(t *testing.T, file string) { truncate(t, file, 0) },
		"cut":      func(t *testing.T, file string) { truncate(t, file, 500) },
		"extended": func(t *testing.T, file string) { truncate(t, file, 5000) },
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, onDisk(t.TempDir()))
			want, digest := content(1, 1000)
			fetch(t, s, want)
			addr, _ := parseAddress(digest)
			hurt(t, s.disk.file(addr))
			_, err := s.Open(t.Context(), digest)
			wantStatus(t, err, http.StatusNotFound)
			fetch(t, s, want)
			if got, err := s.Get(t.Context(), digest, 1000); err != nil || !bytes.Equal(got, want) {
				t.Errorf("fetched again: %d bytes, %v", len(got), err)
			}
		})
	}
	t.Run("flipped bit in a small object", func(t *testing.T) {
		t.Parallel()
		s := open(t, onDisk(t.TempDir()))
		want, digest := content(1, 1000)
		fetch(t, s, want)
		addr, _ := parseAddress(digest)
		bad := bytes.Clone(want)
		bad[0] ^= 1
		if err := os.WriteFile(s.disk.file(addr), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get(t.Context(), digest, 1000)
		wantStatus(t, err, http.StatusNotFound)
		_, err = s.Stat(t.Context(), digest)
		wantStatus(t, err, http.StatusNotFound)
	})
	t.Run("cut while it is read", func(t *testing.T) {
		t.Parallel()
		s := open(t, onDisk(t.TempDir()))
		want, digest := content(1, 1000)
		fetch(t, s, want)
		object, err := s.Open(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		defer object.Close()
		truncate(t, object.File().Name(), 10)
		if got, err := io.ReadAll(object); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		s := open(t, onDisk(t.TempDir()))
		want, digest := content(1, 1000)
		fetch(t, s, want)
		addr, _ := parseAddress(digest)
		// Reading address 0 of one's own memory is a real EIO that needs no broken disk.
		file, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		object := &Object{store: s, addr: addr, size: 1000, file: file}
		defer object.Close()
		if _, err := io.ReadAll(object); !errors.Is(err, syscall.EIO) {
			t.Errorf("reading: %v, want EIO", err)
		}
		_, err = s.Stat(t.Context(), digest)
		wantStatus(t, err, http.StatusNotFound)
	})
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func TestObjectStoreDownStreamsThrough(t *testing.T) {
	t.Parallel()
	server := storetest.StartS3(t)
	s := open(t, Options{Driver: "s3", Parameters: server.Parameters(), SpoolDir: t.TempDir()})
	server.Stop()
	want, digest := content(1, 6<<20)
	_, err := s.Stat(t.Context(), digest)
	wantStatus(t, err, http.StatusServiceUnavailable)
	fill, err := s.Fetch(t.Context(), digest, int64(len(want)), from(want))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_ = reader.Close()
	wantStatus(t, fill.Wait(t.Context()), http.StatusServiceUnavailable)
	server.Restart(t)
	fetch(t, s, want)
	if s.Err() != nil {
		t.Errorf("after the object store came back: %v", s.Err())
	}
}

func TestOpenRefusesWhatCannotBeSafe(t *testing.T) {
	t.Parallel()
	open(t, onDisk(filepath.Join(t.TempDir(), "made", "by", "us")))
	root := t.TempDir()
	first := open(t, onDisk(root))
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		opts Options
		want string
	}{
		"locked":         {onDisk(root), "is in use by process "},
		"world-writable": {onDisk(shared), "chmod o-w"},
		"a file":         {onDisk(file), "not a directory"},
		"no root":        {Options{}, "rootdirectory"},
		"unknown driver": {Options{Driver: "floppy"}, `no storage driver "floppy"`},
		"no spool":       {Options{Driver: "inmemory", SpoolDir: "/nonexistent"}, "spool directory /nonexistent"},
	}
	for name, test := range cases {
		s, err := Open(t.Context(), test.opts)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q does not say %q in one line", name, err, test.want)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, onDisk(root)) // the lock was given back
}
