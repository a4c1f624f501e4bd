package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// accept is what clients say that they take; distribution does not serve an OCI manifest to who does not list it.
const accept = manifestType + ", application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*"

// A load is a number of connections that ask for the same thing again and again, each as soon as it is answered.
type load struct {
	server  *server
	request []byte
	method  string
	conns   []*connection
}

type connection struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
}

// readBuffer of a client is large beside a manifest and small beside a blob.
const readBuffer = 256 << 10

func newLoad(s *server, method, path string, connections int) (*load, error) {
	l := &load{server: s, method: method}
	l.request = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: %s\r\n\r\n", method, path, s.addr, accept)
	for range connections {
		c, err := s.dial()
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (s *server) dial() (*connection, error) {
	c, err := net.Dial("tcp", s.addr)
	if err == nil && s.secure {
		c = tls.Client(c, clientTLS())
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s.name, err)
	}
	return &connection{Conn: c, in: bufio.NewReader(c), buf: make([]byte, readBuffer)}, nil
}

// clientTLS trusts whoever answers: it is one of this run's own processes.
func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// run asks for d on all connections. Requests under way at the end are finished.
func (l *load) run(ctx context.Context, d time.Duration) (requests, bytes int64, err error) {
	end := time.Now().Add(d)
	var n, sum atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for _, c := range l.conns {
		all.Go(func() {
			for failed.Load() == nil && ctx.Err() == nil && time.Now().Before(end) {
				got, err := c.ask(l.request, l.method)
				if err != nil {
					err = fmt.Errorf("asking %s: %w", l.server.name, err)
					failed.CompareAndSwap(nil, &err)
					return
				}
				n.Add(1)
				sum.Add(got)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, 0, *err
	}
	return n.Load(), sum.Load(), ctx.Err()
}

func (c *connection) ask(request []byte, method string) (int64, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("it answers %s", response.Status)
	}
	// Behind a plain interface, or io.Discard would read with a small buffer of its own.
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, c.buf)
}

func (s *server) transport() *http.Transport {
	return &http.Transport{TLSClientConfig: clientTLS(), DisableCompression: true, MaxIdleConnsPerHost: 8}
}

// get returns the response if it is a 200.
func get(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	return do(ctx, client, http.MethodGet, url)
}

func do(ctx context.Context, client *http.Client, method, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s %s: it answers %s", method, url, response.Status)
	}
	return response, nil
}
