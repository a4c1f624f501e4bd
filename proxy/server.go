package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// headerTimeout ends connections that send their headers a byte at a time; real clients send them in one packet.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long an unused connection is kept for the next request of a pull.
	idleTimeout = 2 * time.Minute
	// maxHeader bytes of a request: a bearer token or a cookie jar of a browser fits.
	maxHeader = 64 << 10
	// maxPerClient connections of one address. A node pulls with some dozens; a NAT gateway of a large site with some
	// thousands.
	maxPerClient = 4096
	// maxConnections in all: some 20 KiB of memory each.
	maxConnections = 32768
)

// A Server serves a handler with the limits of an exposed listener.
type Server struct {
	Handler http.Handler
	TLS     *tls.Config // nil: plain HTTP
	Log     *zap.Logger // nil: none

	http http.Server
	once sync.Once
}

func (s *Server) init() {
	log := s.Log
	if log == nil {
		log = zap.NewNop()
	}
	limit := &connections{of: map[string]int{}, log: log}
	s.http = http.Server{
		Handler: s.Handler, TLSConfig: s.TLS,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ConnState: limit.track, ErrorLog: quiet(log),
	}
}

// Serve answers on l until Shutdown. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	s.once.Do(s.init)
	var err error
	if s.TLS != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving on %s: %w", l.Addr(), err)
}

// Shutdown takes no new connection and waits for the answers under way until ctx ends; then it cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(s.init)
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// connections counts connections by address, and closes those past the limits. It hangs on ConnState, not on the
// listener: a wrapped connection would lose sendfile.
type connections struct {
	mu  sync.Mutex
	of  map[string]int
	all int
	log *zap.Logger
}

func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		ip := peer(conn.RemoteAddr().String())
		c.mu.Lock()
		c.of[ip]++
		c.all++
		over := c.of[ip] > maxPerClient || c.all > maxConnections
		c.mu.Unlock()
		if over {
			c.log.Warn("closing a connection past the limit", zap.String("client", ip))
			_ = conn.Close() // it is counted down when the server notices
		}
	case http.StateClosed, http.StateHijacked:
		ip := peer(conn.RemoteAddr().String())
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.of[ip]--; c.of[ip] <= 0 {
			delete(c.of, ip)
		}
	}
}

// quiet passes net/http's own lines (TLS handshakes that failed and the like) on at debug level: they are caused by
// clients at will.
func quiet(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel)
	if err != nil { // the level is a constant that exists
		return nil
	}
	return std
}
