package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/cache"
	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/proxy"
	"github.com/winnow-registry/winnow/proxy/admission"
	"github.com/winnow-registry/winnow/proxy/audit"
	"github.com/winnow-registry/winnow/proxy/console"
	"github.com/winnow-registry/winnow/proxy/store"
	"github.com/winnow-registry/winnow/proxy/upstream"
)

// A daemon is everything that serves, wired together. A pull goes down through it in this order:
//
//  1. proxy.Server   limits of connections and headers, TLS
//  2. proxy.Handler  one strict parse, authentication, the record
//  3. admission.Gate the verdict: cache, else manifest and configuration by upstream and store, judged by policy
//  4. audit.Log      the decision, durable before the first byte
//  5. store.Store    the bytes, or upstream.Client to client and store at once
type daemon struct {
	config   *configs.Config
	log      *zap.Logger
	audit    *audit.Log
	store    *store.Store
	cache    *cache.Cache
	upstream *upstream.Client
	gate     *admission.Gate
	front    *proxy.Handler
	users    *proxy.Authenticator
	cert     *proxy.Certificate
	console  http.Handler
	draining atomic.Bool
	closers  []func() error // in the order of opening
}

// newDaemon opens everything, or nothing: on an error what was opened is closed again. It waits for no other service.
func newDaemon(ctx context.Context, c *configs.Config, log *zap.Logger) (_ *daemon, err error) {
	d := &daemon{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	set, err := loadPolicies(c)
	if err != nil {
		return nil, err
	}
	d.warnPolicies(set)
	tls := c.Listen.TLS
	if tls.CertFile != "" {
		if d.cert, err = proxy.LoadCertificate(tls.CertFile, tls.KeyFile, tls.ClientCAFile, c.Auth.HtpasswdFile != ""); err != nil {
			return nil, err
		}
	}
	if d.users, err = proxy.NewAuthenticator(c.Auth.HtpasswdFile, tls.ClientCAFile != ""); err != nil {
		return nil, err
	}
	if err := d.openState(ctx, metrics); err != nil {
		return nil, err
	}
	d.gate = d.newGate(set, metrics)
	d.front = proxy.New(proxy.Options{
		Names: d.names(c), Gate: d.gate, Audit: d.audit, Auth: d.users,
		PublicURL: c.Listen.PublicURL, Log: log, Registerer: metrics,
	})
	d.console = d.newConsole(metrics)
	return d, nil
}

// openState opens what is on disk or behind a network.
func (d *daemon) openState(ctx context.Context, metrics prometheus.Registerer) (err error) {
	c := d.config
	d.audit, err = audit.Open(audit.Options{
		Path: c.Audit.Path, NoSync: !c.Audit.FSync, Version: programVersion(), Logger: d.log.Named("audit"), Registerer: metrics,
	})
	if err != nil {
		return fmt.Errorf("opening audit.path: %w", err)
	}
	d.closers = append(d.closers, d.audit.Close)
	if d.store, err = openStore(ctx, c, d.log, metrics); err != nil {
		return err
	}
	d.closers = append(d.closers, d.store.Close)
	d.cache, err = cache.Open(ctx, cache.Options{
		Path: c.Cache.Embedded.Path, MACKeyFile: c.Cache.MACKeyFile, Log: d.log.Named("cache"), Registerer: metrics,
		Redis: cache.Redis{
			Addresses: c.Cache.Redis.Addresses, Username: c.Cache.Redis.Username, PasswordFile: c.Cache.Redis.PasswordFile,
			TLS: c.Cache.Redis.TLS, SentinelMaster: c.Cache.Redis.SentinelMaster,
		},
	})
	if err != nil {
		return fmt.Errorf("opening the cache: %w", err)
	}
	d.closers = append(d.closers, d.cache.Close)
	d.upstream, err = upstream.New(endpoints(c), upstream.Options{Log: d.log.Named("upstream"), Registerer: metrics})
	if err != nil {
		return fmt.Errorf("reading upstreams: %w", err)
	}
	d.closers = append(d.closers, d.upstream.Close)
	return nil
}

func openStore(ctx context.Context, c *configs.Config, log *zap.Logger, metrics prometheus.Registerer) (*store.Store, error) {
	parameters, err := c.Store.DriverParameters()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{
		Driver: c.Store.Driver, Parameters: parameters, MaxSize: int64(c.Store.MaxSize), Redirect: c.Store.Redirect,
		Log: log.Named("store"), Registerer: metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return s, nil
}

func (d *daemon) newGate(set *policy.Set, metrics prometheus.Registerer) *admission.Gate {
	c := d.config
	stale := time.Duration(c.Tags.Stale)
	if stale == 0 {
		stale = -1 // configured as none; the gate's zero value means its default
	}
	return admission.New(set, "", admission.Options{
		Upstream: registries{d.upstream}, Lister: d.upstream, Store: d.store, Blobs: blobs{d.store},
		Verdicts: d.cache, Tags: d.cache, Grants: d.cache, Leases: d.cache, Explanations: d.cache,
		TTL: time.Duration(c.Tags.TTL), Stale: stale, Hold: time.Duration(c.Admission.Hold),
		Timeout: time.Duration(c.Admission.Timeout), Concurrency: c.Admission.Concurrency,
		MaxSize: int64(c.Admission.MaxImageSize), Log: d.log.Named("admission"), Registerer: metrics,
	})
}

func (d *daemon) newConsole(metrics prometheus.Gatherer) http.Handler {
	return console.New(console.Options{
		Gatherer: metrics, Version: programVersion(),
		Components: []console.Component{
			console.Required("server", func() error {
				if d.draining.Load() {
					return errors.New("ending: takes no new pulls")
				}
				return nil
			}),
			console.Required("audit", d.audit.Err),
			console.Optional("store", d.store.Err),
			console.Optional("cache", func() error { return cacheHealth(d.cache.Status()) }),
		},
	})
}

func cacheHealth(s cache.Status) error {
	switch {
	case s.Redis == cache.RedisDegraded || s.Redis == cache.RedisConnecting:
		return fmt.Errorf("redis is %s since %s: %s; served from memory and the embedded store",
			s.Redis, s.Since.UTC().Format(time.RFC3339), s.Reason)
	case s.Embedded != "":
		return errors.New("the embedded store cannot be written: " + s.Embedded)
	}
	return nil
}

// close closes in the reverse order of opening, so that the audit log has the last word.
func (d *daemon) close() (err error) {
	for _, closer := range slices.Backward(d.closers) {
		err = errors.Join(err, closer())
	}
	return err
}

func (d *daemon) names(c *configs.Config) *proxy.Names {
	names := make([]string, 0, len(c.Upstreams))
	for name := range c.Upstreams {
		names = append(names, name)
	}
	return proxy.NewNames(names, c.DefaultUpstream)
}

func endpoints(c *configs.Config) []upstream.Endpoint {
	out := make([]upstream.Endpoint, 0, len(c.Upstreams))
	for name, u := range c.Upstreams {
		out = append(out, upstream.Endpoint{
			Name: name, URL: u.URL, Private: u.Private, Username: u.Username, PasswordFile: u.PasswordFile,
			CredentialHelper: u.CredentialHelper, CAFile: u.CAFile, TokenServers: u.TokenServers, BlobHosts: u.BlobHosts,
		})
	}
	return out
}

func loadPolicies(c *configs.Config) (*policy.Set, error) {
	files, err := configs.ReadPolicies(c)
	if err != nil {
		return nil, fmt.Errorf("reading policy.paths: %w", err)
	}
	return policy.Load(files, rules.All())
}

func (d *daemon) warnPolicies(set *policy.Set) {
	for _, w := range set.Warnings() {
		d.log.Warn(w)
	}
}

// hostname names this replica in what it records of itself.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
