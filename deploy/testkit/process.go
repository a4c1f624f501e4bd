package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopGrace is how long a daemon may take to end after SIGTERM; dockerd waits for its containers.
const stopGrace = 15 * time.Second

// tailBytes of a daemon's log are printed when a test fails: enough for the reason, little enough to read.
const tailBytes = 6 << 10

// A Process is a running program that ends with its test.
type Process struct {
	Name string

	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

// Start runs cmd with its output in a file. The program gets SIGTERM at the end of the test, or when the test program
// itself dies, and SIGKILL when it does not end; when the test has failed, the end of its output is printed.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	out, err := os.CreateTemp("", "wt-"+filepath.Base(name)+"-*.log")
	if err != nil {
		t.Fatalf("making the log of %s: %v", name, err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM

	p := &Process{Name: name, cmd: cmd, log: out.Name(), done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started, out)
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("end of the output of %s:\n%s", name, tail(p.Output()))
		}
		_ = os.Remove(p.log)
	})
	return p
}

// run starts the program and waits for it on one thread: the kernel sends the death signal when the thread that made
// the child ends, not the process.
func (p *Process) run(started chan<- error, out *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer out.Close()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
	close(p.done)
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the program ended; it may be called after Done.
func (p *Process) Err() error { return p.err }

// Signal sends s; a program that has ended already is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Kill ends the program as the kernel would when memory runs out, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the program to end and kills it when it does not. It returns how the program ended.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		p.Kill()
	}
	return p.err
}

// Output returns what the program has printed so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Await waits until ready returns nil and ends the test when the program ends before, or after limit.
func (p *Process) Await(t testing.TB, limit time.Duration, ready func() error) {
	t.Helper()
	if err := p.TryAwait(t.Context(), limit, ready); err != nil {
		t.Fatalf("%v; its output ends:\n%s", err, tail(p.Output()))
	}
}

// TryAwait is Await for callers that go on after a failure.
func (p *Process) TryAwait(ctx context.Context, limit time.Duration, ready func() error) error {
	deadline := time.After(limit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %w", p.Name, errors.Join(p.err, err))
		case <-deadline:
			return fmt.Errorf("%s was not ready after %v: %w", p.Name, limit, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// FreePort returns an address on the loopback that nobody listens on at the moment.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Output runs cmd and returns everything it printed, and its error.
func Output(cmd *exec.Cmd) (string, error) {
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func tail(s string) string {
	if len(s) > tailBytes {
		s = "…" + s[len(s)-tailBytes:]
	}
	return strings.TrimSpace(s)
}
