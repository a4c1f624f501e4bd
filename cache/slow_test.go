package cache_test

import (
	"net"
	"testing"
	"time"
)

// slowProxy forwards to a server and delays each answer.
func slowProxy(t *testing.T, to string, delay time.Duration) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done); _ = l.Close() })
	pipe := func(dst, src net.Conn, wait time.Duration) {
		defer dst.Close()
		defer src.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := src.Read(b)
			if err != nil {
				return
			}
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			if _, err := dst.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pipe(out, in, 0)
			go pipe(in, out, delay)
		}
	}()
	return l.Addr().String()
}
