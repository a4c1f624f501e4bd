package cache_test

import (
	"io"
	"os"
	"testing"
)

// capture copies to w what is written to os.Stderr until restore is called.
func capture(t *testing.T, w io.Writer) (restore func()) {
	t.Helper()
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stderr
	os.Stderr = pipe
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(w, r)
	}()
	return func() {
		os.Stderr = was
		_ = pipe.Close()
		<-copied
		_ = r.Close()
	}
}
