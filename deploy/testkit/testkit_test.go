package testkit_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

func TestProcessEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var p *testkit.Process
	t.Run("a test that starts it", func(t *testing.T) {
		p = testkit.Start(t, "sleep", exec.Command("sleep", "60"))
		if err := p.Signal(unix.Signal(0)); err != nil {
			t.Fatal(err)
		}
	})
	select {
	case <-p.Done():
	default:
		t.Error("the program outlived the test that started it")
	}
}

func TestAwaitSaysThatTheProgramEnded(t *testing.T) {
	t.Parallel()
	p := testkit.Start(t, "sh", exec.Command("sh", "-c", "echo why; exit 7"))
	err := p.TryAwait(t.Context(), 10*time.Second, func() error { return errors.New("not ready") })
	if err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Errorf("waiting for a program that ended: %v", err)
	}
	if got := p.Output(); got != "why\n" {
		t.Errorf("its output is %q", got)
	}
}

func TestDirIsRemovedWithWhatIsMountedBelow(t *testing.T) {
	t.Parallel()
	testkit.Require(t, testkit.Root)
	var dir string
	t.Run("a test that leaves a mount", func(t *testing.T) {
		dir = testkit.Dir(t)
		below := filepath.Join(dir, "mounted")
		if err := os.Mkdir(below, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", below, "tmpfs", 0, "size=1m"); err != nil {
			testkit.Skip(t, "cannot mount: "+err.Error())
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestKeptIsMadeOnce(t *testing.T) {
	t.Setenv("WINNOW_TEST_CACHE", t.TempDir())
	made := 0
	for range 2 {
		path := testkit.Kept(t, "thing", func(path string) error {
			made++
			return os.WriteFile(path, []byte("made"), 0o600)
		})
		if b, err := os.ReadFile(path); err != nil || string(b) != "made" {
			t.Errorf("kept %q, %v", b, err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}
