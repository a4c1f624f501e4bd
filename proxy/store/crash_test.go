package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crashDirVariable tells a copy of the test binary to store objects in a directory until it is killed.
const crashDirVariable = "WINNOW_STORE_CRASH_DIR"

// crashChild stores objects without end, several at once, from a source that dawdles.
func crashChild(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Parameters: map[string]any{"rootdirectory": dir}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for i := uint64(os.Getpid()); ; i += 8 {
		var fills []*Fill
		for j := range uint64(8) {
			b, digest := content(i+j, 1+rand.IntN(1<<20))
			fill, err := s.Fetch(ctx, digest, int64(len(b)), func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(&slowly{bytes.NewReader(b)}), nil
			})
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fills = append(fills, fill)
			small, smallDigest := content(i+j+1<<20, 1000)
			if err := s.Put(ctx, smallDigest, small); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			if err := s.Link(ctx, "docker.io/library/app", smallDigest); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		for _, fill := range fills {
			if err := fill.Wait(ctx); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
}

type slowly struct{ *bytes.Reader }

func (r *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
	return r.Reader.Read(p[:min(len(p), 16<<10)])
}

func TestKilledProcessLeavesNothingHalfStored(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7)) // seeded: the same instants in every run
	leftovers := 0
	for range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDirVariable+"="+root)
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 200)
		if n, err := output.Read(line); err != nil || string(line[:n]) != "ready\n" {
			t.Fatalf("child says %q, %v", line[:n], err)
		}
		time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(output)
		_ = child.Wait() // says that it was killed
		if len(rest) > 0 {
			t.Fatalf("child failed by itself: %s", rest)
		}
		names, err := os.ReadDir(filepath.Join(root, uploadsRoot))
		if err != nil {
			t.Fatal(err)
		}
		leftovers += len(names)
	}
	if leftovers == 0 {
		t.Fatal("no process was killed while it stored something: the test shows nothing")
	}

	s := open(t, onDisk(root))
	report, err := s.GC(t.Context(), GCOptions{Verify: true})
	if err != nil || report.Damaged != 0 || report.Objects == 0 {
		t.Errorf("after the crashes: %+v, %v; want objects, none damaged", report, err)
	}
	eventually(t, "the spool is empty", func() bool {
		names, err := os.ReadDir(s.disk.spool)
		return err == nil && len(names) == 0
	})
	linked, err := s.Linked(t.Context(), "docker.io/library/app")
	if err != nil || len(linked) == 0 {
		t.Fatalf("links after the crashes: %d, %v", len(linked), err)
	}
	for _, digest := range linked {
		if _, err := s.Get(t.Context(), digest, 1<<20); err != nil {
			t.Errorf("a manifest that was linked after it was stored: %v", err)
		}
	}
	t.Logf("%d objects, %d links, %d unfinished files removed", report.Objects, len(linked), leftovers)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("after 10 s it is still not so that %s", strings.TrimSpace(what))
}
