package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// startLimit is how long a server may take to answer before the run gives up.
	startLimit = 30 * time.Second
	// stopLimit is how long it may take to end before it is killed.
	stopLimit = 10 * time.Second
	// poll is how often a starting server is asked: fine beside a bar of 30 ms.
	poll = 500 * time.Microsecond
)

// A server is a running process that listens on addr.
type server struct {
	name    string
	addr    string
	secure  bool
	console string // of Winnow
	cmd     *exec.Cmd
	log     string
	done    chan struct{}
	err     error
}

// spawn starts a program with its output in a file, as a service has it.
func (b *bench) spawn(name, addr string, cmd *exec.Cmd) (*server, error) {
	out, err := os.CreateTemp(b.dir, name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", name, err)
	}
	defer out.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.Dir == "" {
		cmd.Dir = b.dir
	}
	s := &server{name: name, addr: addr, cmd: cmd, log: out.Name(), done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// ready waits for the first 200 on /v2/.
func (s *server) ready(ctx context.Context) error {
	client := &http.Client{Transport: s.transport()}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var last error
	for {
		response, err := get(ctx, client, s.url("/v2/"))
		if err == nil {
			response.Body.Close()
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(poll):
		case <-s.done:
			return fmt.Errorf("%s ended: %w; its output: %s", s.name, errors.Join(s.err, last), s.output())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", s.name, errors.Join(ctx.Err(), last))
		}
	}
}

func (s *server) url(path string) string {
	if s.secure {
		return "https://" + s.addr + path
	}
	return "http://" + s.addr + path
}

// stop ends the process.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

func (s *server) output() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-1024):]))
}

// role returns this very program as a process that plays another part.
func (b *bench) role(role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd, nil
}

// freePort returns an address that nobody listens on at the moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
