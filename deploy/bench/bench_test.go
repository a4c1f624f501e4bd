package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test program play the parts that the programme starts itself for.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// No line is judged here: a test that fails by the clock fails on a busy machine.
func TestEveryMeasureHasItsLine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two programs and starts dozens of processes")
	}
	profiles := t.TempDir()
	var out, progress bytes.Buffer
	if code := run([]string{"-short", "-profile", profiles, "-run", "head|blob|tls|cold|leave|memory|start"}, &out, &progress); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, progress.String())
	}
	for _, want := range []string{
		"warm manifest HEAD by tag", "warm blob, ", "warm blob over TLS", "cold pull", "upstream bytes, clients leave",
		"memory above idle, 4 clients pull cold", "memory above idle, a layer of 32 MiB streams",
		"ready after start, ms", "ready after start, upstream down",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line about %q in:\n%s", want, out.String())
		}
	}
	written, err := filepath.Glob(filepath.Join(profiles, "*.pprof"))
	if err != nil || len(written) != 3 {
		t.Errorf("profiles of the warm loads: %v %v", written, err)
	}
}

func TestHugeLayerIsTheSameInPieces(t *testing.T) {
	t.Parallel()
	r, err := newRepeated(3 * repeatedBlock)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, r.size())
	if _, err := r.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 511, 512, repeatedBlock + 511, r.size() - tarEnd - 1, r.size() - 1} {
		part := make([]byte, min(1000, r.size()-offset))
		if _, err := r.ReadAt(part, offset); err != nil {
			t.Fatalf("reading at %d: %v", offset, err)
		}
		if !bytes.Equal(part, whole[offset:offset+int64(len(part))]) {
			t.Errorf("bytes at %d differ", offset)
		}
	}
}

func TestBadPatternIsSaid(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	if code := run([]string{"-run", "("}, &out, &progress); code != 1 || !strings.Contains(progress.String(), "reading -run") {
		t.Errorf("exit code %d: %s", code, progress.String())
	}
}
