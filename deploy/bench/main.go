package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if role := os.Getenv(roleVariable); role != "" {
		return report(stderr, play(ctx, role, args))
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	short := flags.Bool("short", false, "small sizes and one round: shows that it runs, not how fast")
	pattern := flags.String("run", "", "only measures that match this regular expression")
	profiles := flags.String("profile", "", "folder for CPU profiles of Winnow under each warm load")
	if flags.Parse(args) != nil {
		return 2
	}
	chosen, err := regexp.Compile(*pattern)
	if err != nil {
		return report(stderr, fmt.Errorf("reading -run: %w", err))
	}
	sizes := fullSizes
	if *short {
		sizes = shortSizes
	}
	b := &bench{sizes: sizes, chosen: chosen, profiles: *profiles, progress: stderr}
	err = b.run(ctx)
	b.table.print(stdout)
	return report(stderr, err)
}

func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(w, "bench:", err)
	return 1
}
