package testkit

import (
	"bufio"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Dir returns a new folder with a short path (a Unix socket's path holds 108 bytes, which t.TempDir exceeds for long
// test names). At the end of the test whatever is still mounted below it is unmounted and the folder removed.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wt-")
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	t.Cleanup(func() {
		if err := removeMounted(dir); err != nil {
			t.Logf("cleaning up: %v", err)
		}
	})
	return dir
}

// removeMounted removes dir and all mounts below it. Engines let go of a mount a moment after they exit, hence the tries.
func removeMounted(dir string) error {
	var err error
	for range 20 {
		mounts, readErr := mountsBelow(dir)
		if readErr != nil {
			return readErr
		}
		for _, m := range mounts {
			_ = unix.Unmount(m, unix.MNT_DETACH) // what stays mounted is seen by RemoveAll
		}
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// mountsBelow lists the mount points under dir, deepest first.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			out = append(out, fields[4])
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(out)))
	return out, nil
}

// CacheDir returns the folder for what is slow to make and safe to keep between runs: built programs, the Debian root.
// It is $WINNOW_TEST_CACHE, or winnow-test in the user's cache folder.
func CacheDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WINNOW_TEST_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("finding the cache folder: %v; set WINNOW_TEST_CACHE", err)
		}
		dir = filepath.Join(base, "winnow-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("making the cache folder: %v; set WINNOW_TEST_CACHE", err)
	}
	return dir
}

// Kept returns the path of name in the cache folder and makes it with produce, which writes to the path it is given, when
// it is not there yet. Several test programs run at once: one makes it, the others wait, and nobody sees half of it.
func Kept(t testing.TB, name string, produce func(path string) error) string {
	t.Helper()
	path := filepath.Join(CacheDir(t), name)
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatalf("locking %s: %v", path, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatalf("locking %s: %v", path, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	temporary := path + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		t.Fatalf("removing what an earlier run left: %v", err)
	}
	if err := produce(temporary); err != nil {
		Skip(t, "cannot make "+name+": "+err.Error())
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatalf("keeping %s: %v", path, err)
	}
	return path
}
