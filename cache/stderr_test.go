package cache_test

import (
	"io"
	"os"
	"syscall"
	"testing"
)

// capture copies to w what the process writes to file descriptor 2 until restore is called: a logger that was made at
// start keeps the descriptor, whatever becomes of os.Stderr.
func capture(t *testing.T, w io.Writer) (restore func()) {
	t.Helper()
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	was, err := syscall.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(pipe.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(w, r)
	}()
	return func() {
		_ = syscall.Dup3(was, 2, 0)
		_ = syscall.Close(was)
		_ = pipe.Close()
		<-copied
		_ = r.Close()
	}
}
