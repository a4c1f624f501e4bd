package main

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/proxy/audit"
)

// A loader reads the configuration again.
type loader func() (*configs.Config, error)

// reload applies the configuration as it is now, whole or not at all. What needs a restart is named and left.
func (d *daemon) reload(load loader) {
	next, err := load()
	if err == nil {
		err = d.apply(next)
	}
	if err != nil {
		d.log.Error("reloading; what was in force stays in force", zap.Error(err))
		return
	}
	for _, w := range next.Warnings() {
		d.log.Warn(w)
	}
	for _, key := range configs.NeedRestart(d.config, next) {
		d.log.Warn("a changed key needs a restart", zap.String("key", key))
	}
	d.config.Upstreams, d.config.Policy.Paths, d.config.Auth, d.config.Listen.TLS =
		next.Upstreams, next.Policy.Paths, next.Auth, next.Listen.TLS
	d.log.Info("reloaded", zap.String("policy", d.gate.Revision()))
}

// apply checks all that may fail without effect before it changes anything.
func (d *daemon) apply(next *configs.Config) error {
	set, err := loadPolicies(next)
	if err != nil {
		return err
	}
	if d.cert != nil {
		if err := d.cert.Reload(); err != nil {
			return err
		}
	}
	if err := d.upstream.Reload(endpoints(next)); err != nil {
		return fmt.Errorf("reading upstreams: %w", err)
	}
	d.front.Rename(d.names(next))
	d.users.Flush()
	d.warnPolicies(set)
	d.gate.Rule(set, d.gate.Epoch())
	d.recordReload()
	return nil
}

// reloadPolicies looks whether the policy files have changed, and applies them if so.
func (d *daemon) reloadPolicies(c *configs.Config) {
	set, err := loadPolicies(c)
	if err != nil {
		d.log.Error("reloading policies; what was in force stays in force", zap.Error(err))
		return
	}
	if set.Revision() == d.gate.Revision() {
		return
	}
	d.warnPolicies(set)
	d.gate.Rule(set, d.gate.Epoch())
	d.recordReload()
	d.log.Info("reloaded policies", zap.String("policy", d.gate.Revision()))
}

func (d *daemon) recordReload() {
	err := d.audit.Append(&audit.Record{
		Event: audit.EventReloaded, Policy: d.gate.Revision(), Epoch: d.gate.Epoch(), Reason: "replica " + hostname(),
	})
	if err != nil {
		d.log.Error("recording the reload", zap.Error(err))
	}
}
