// Command demo shows in ten seconds what Winnow does: it starts a registry with two images, Winnow in front of it, pulls both
// like any client, and prints what a person sees and what is recorded. It needs the go command and no network.
//
// Everything is in a temporary folder and on free ports of the loopback, and is gone at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit ends a demo that hangs; most of the time goes into building Winnow the first time.
const limit = 5 * time.Minute

func main() { os.Exit(run(os.Stdout, os.Stderr)) }

func run(out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := demo(ctx, out); err != nil {
		fmt.Fprintln(errOut, "demo:", err)
		return 1
	}
	return 0
}

func demo(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "winnow-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say := narrator{out}

	say.step("A registry with two images")
	upstream, err := startUpstream(ctx, dir)
	if err != nil {
		return err
	}
	defer upstream.close()
	for _, i := range upstream.images {
		say.line("%-35s %s", upstreamName+"/"+i.ref, i.about)
	}

	say.step("Winnow in front of it, with the policy that is built in")
	program, err := startWinnow(ctx, dir, upstream.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, program.stop()) }()
	say.line("$ winnow serve --config winnow.yaml")
	say.line("  registry %s, console %s", program.registry, program.console)

	return errors.Join(admitted(ctx, say, upstream, program), refused(ctx, say, program), recorded(ctx, say, program))
}
