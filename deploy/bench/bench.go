package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// sizes are how much is measured.
type sizes struct {
	rounds      int           // of each server under each load
	round       time.Duration // of one round
	connections int           // of clients that ask for manifests
	downloads   int           // of clients that download one blob again and again
	blob        int           // bytes of that blob
	layers      []int         // bytes of each layer of the image that is pulled cold
	coldRounds  int
	clients     int   // that pull cold at once
	huge        int64 // bytes of the one layer that streams
	starts      int
}

var fullSizes = sizes{
	rounds: 7, round: time.Second, connections: 64, downloads: 8, blob: 57 << 20,
	layers:     []int{30 << 20, 15 << 20, 10 << 20, 8 << 20, 5 << 20, 2 << 20},
	coldRounds: 5, clients: 32, huge: 5 << 30, starts: 20,
}

// shortSizes let a test see every line within seconds.
var shortSizes = sizes{
	rounds: 1, round: 50 * time.Millisecond, connections: 4, downloads: 2, blob: 1 << 20,
	layers: []int{300 << 10, 200 << 10}, coldRounds: 1, clients: 4, huge: 32 << 20, starts: 1,
}

// A bench is one run of the programme.
type bench struct {
	sizes
	chosen   *regexp.Regexp
	profiles string
	progress io.Writer

	dir      string // everything that this run writes
	winnow   string // the programs under comparison
	registry string
	content  content
	upstream *server
	table    table
}

// A measure fills in one or several lines of the table.
type measure struct {
	name string
	run  func(context.Context) error
}

func (b *bench) measures() []measure {
	return []measure{
		{"manifest", b.manifestByDigest},
		{"head", b.headByTag},
		{"blob", b.blobPlain},
		{"tls", b.blobTLS},
		{"cold", b.coldPull},
		{"leave", b.leavingClients},
		{"memory", b.memory},
		{"start", b.start},
	}
}

// run measures what is chosen. One measure that fails does not keep the others from being made.
func (b *bench) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "winnow-bench-"); err != nil {
		return fmt.Errorf("making the folder of the run: %w", err)
	}
	defer os.RemoveAll(b.dir)
	if err := b.build(ctx); err != nil {
		return err
	}
	b.content.dir = filepath.Join(b.dir, "upstream")
	if b.upstream, err = b.startUpstream(ctx); err != nil {
		return err
	}
	defer b.upstream.stop()
	var errs []error
	for _, m := range b.measures() {
		if !b.chosen.MatchString(m.name) || ctx.Err() != nil {
			continue
		}
		b.say("measuring %s", m.name)
		if err := m.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("measuring %s: %w", m.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// distribution is the program that Winnow is measured against.
const distribution = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"

// build makes the programs as they are released: Winnow of this module, distribution with the dependencies of its own.
func (b *bench) build(ctx context.Context) error {
	b.winnow, b.registry = filepath.Join(b.dir, "winnow"), filepath.Join(b.dir, "registry")
	if err := b.compile(ctx, "build", "-o", b.winnow, "github.com/winnow-registry/winnow/cmd/winnow"); err != nil {
		return err
	}
	return b.compile(ctx, "install", distribution)
}

func (b *bench) compile(ctx context.Context, args ...string) error {
	name := args[len(args)-1]
	b.say("building %s", name)
	cmd := exec.CommandContext(ctx, "go", append([]string{args[0], "-trimpath", "-ldflags", "-s -w"}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+b.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return nil
}
