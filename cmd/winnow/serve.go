package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/proxy"
)

const (
	// drainTime is how long pulls under way may take to end after SIGTERM; Kubernetes kills after 30 s by default.
	drainTime = 25 * time.Second
	// gcPercent lets the heap grow to four times of what is live before it is collected: what is live is some 10 MiB, and
	// collecting that often costs more than the memory. GOGC overrides it.
	gcPercent = 300
	// consoleHeaders bounds how slowly a request to the console may begin.
	consoleHeaders = 10 * time.Second
)

func (s *shell) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Serve the registry and the console", Args: cobra.NoArgs,
		Long: "Serves the registry (listen.registry) and the console (listen.console) until SIGTERM or SIGINT, which let\n" +
			"pulls under way end. SIGHUP reloads policies, exemptions, upstreams with their credentials, TLS and users;\n" +
			"a reload that fails keeps what was in force.",
		RunE: func(cmd *cobra.Command, _ []string) error { return s.serve(cmd.Context()) },
	}
}

func (s *shell) serve(ctx context.Context) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log, flush, err := newLogger(s.stderr, config.Log)
	if err != nil {
		return err
	}
	defer flush()
	for _, w := range config.Warnings() {
		log.Warn(w)
	}
	// The listeners come first: a port that is taken is said before anything is opened.
	registry, err := listen("listen.registry", config.Listen.Registry)
	if err != nil {
		return err
	}
	defer registry.Close()
	var admin net.Listener // nil where the console is off
	if config.Listen.Console != "" {
		if admin, err = listen("listen.console", config.Listen.Console); err != nil {
			return err
		}
		defer admin.Close()
	}
	d, err := newDaemon(ctx, config, log)
	if err != nil {
		return err
	}
	err = d.run(ctx, registry, admin, s.config)
	return errors.Join(err, d.close())
}

func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another process; stop it, or set another address", key, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// run serves until ctx ends or a listener fails, then lets pulls under way end.
func (d *daemon) run(ctx context.Context, registry, admin net.Listener, load loader) error {
	handler, flushTraces, err := withTracing(ctx, d.front)
	if err != nil {
		return err
	}
	server := &proxy.Server{Handler: handler, Log: d.log}
	if d.cert != nil {
		server.TLS = d.cert.Config()
	}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(registry) }()
	console := &http.Server{Handler: d.console, ReadHeaderTimeout: consoleHeaders}
	consoleAddress := "off"
	if admin != nil {
		consoleAddress = admin.Addr().String()
		go func() {
			if err := console.Serve(admin); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving the console: %w", err)
			}
		}()
	}
	d.log.Info("ready", zap.String("registry", registry.Addr().String()), zap.String("console", consoleAddress),
		zap.String("policy", d.gate.Revision()), zap.String("version", programVersion()))
	err = d.wait(ctx, load, failed)

	d.draining.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, server.Shutdown(drain), flushTraces(drain), console.Shutdown(drain))
}

// wait handles SIGHUP and changed policies until the end.
func (d *daemon) wait(ctx context.Context, load loader, failed <-chan error) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var changed <-chan time.Time
	if every := time.Duration(d.config.Policy.Reload); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		changed = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			d.log.Info("ending: waiting for the pulls under way")
			return nil
		case err := <-failed:
			return err
		case <-hup:
			d.reload(load)
		case <-changed:
			d.reloadPolicies(d.config)
		}
	}
}
