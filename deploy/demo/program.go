package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A program is a running `winnow serve`.
type program struct {
	registry, console string // host:port
	path, config      string
	cmd               *exec.Cmd
	drained           chan struct{}
}

// startWinnow builds Winnow, starts it with its data in dir and waits until its log says that it is ready.
func startWinnow(ctx context.Context, dir, upstreamURL string) (*program, error) {
	p := &program{path: filepath.Join(dir, "winnow"), config: filepath.Join(dir, "winnow.yaml"), drained: make(chan struct{})}
	if err := build(ctx, p.path, "github.com/winnow-registry/winnow/cmd/winnow"); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`listen: {registry: "127.0.0.1:0", console: "127.0.0.1:0"}
upstreams: {%s: {url: %q, private: true}}
defaultUpstream: ""
`, upstreamName, upstreamURL)
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p.cmd = p.command(ctx, "serve")
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	output, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.await(output); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// await reads the log until it says where the program listens; the rest of it is dropped.
func (p *program) await(output io.Reader) error {
	var before strings.Builder
	lines := bufio.NewScanner(output)
	for p.registry == "" && lines.Scan() {
		var entry struct{ Msg, Registry, Console string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "ready" {
			p.registry, p.console = entry.Registry, entry.Console
		}
		fmt.Fprintln(&before, lines.Text())
	}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(io.Discard, output)
	}()
	if p.registry == "" {
		return fmt.Errorf("starting winnow: %s", before.String())
	}
	return nil
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-p.drained
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("winnow ended: %w", err)
	}
	return nil
}

// command is another command of the same program with the same configuration.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, append(args, "--config", p.config)...)
	cmd.Dir = filepath.Dir(p.config)
	// The demo is the same for everybody, whatever this shell has set for a Winnow of its own.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WINNOW_") })
	return cmd
}

// build compiles a package of this module.
func build(ctx context.Context, path, pkg string, env ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}
