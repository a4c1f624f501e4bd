// Command winnow is a pull-through registry that serves only images that comply with policy: the daemon (winnow serve)
// and the commands around it. This package wires the others together; what it decides itself is the order of starting
// and stopping, what a signal does, and how people are spoken to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newCommand(stdout, stderr)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	// One line per fault: a file of documents may have several.
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "winnow: "+strings.TrimRight(line, "\n"))
	}
	return exitFailure
}

// exitFailure is what could not be done: the same number that `winnow check` gives for what could not be decided.
const exitFailure = 3

// An exitCode ends the program with that code; what there was to say has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }
