package configs

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// reloadable are the keys that a running Winnow applies; what is below them too.
func reloadable() []string { return []string{"upstreams", "listen.tls", "auth", "policy.paths"} }

// NeedRestart returns the keys, sorted, whose values differ between the configuration in force and the next, and that only
// a restart applies. A reload applies upstreams, listen.tls, auth and policy.paths, and reads the files that they name again.
func NeedRestart(now, next *Config) []string {
	a, b := settings(now), settings(next)
	var keys []string
	for name, s := range a {
		if reflect.DeepEqual(s.value.Interface(), b[name].value.Interface()) {
			continue
		}
		if !slices.ContainsFunc(reloadable(), func(r string) bool { return s.path == r || strings.HasPrefix(s.path, r+".") }) {
			keys = append(keys, s.path)
		}
	}
	slices.Sort(keys)
	return keys
}

// containerdGivesUp is after how long containerd 2.3 and later stop waiting for an answer.
const containerdGivesUp = 30 * time.Second

// Warnings returns what is allowed but hardly meant, one sentence each: for the log at start and reload.
func (c *Config) Warnings() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	secrets := map[string]string{
		"listen.tls.keyFile": c.Listen.TLS.KeyFile, "cache.redis.passwordFile": c.Cache.Redis.PasswordFile,
	}
	for name, u := range c.Upstreams {
		secrets["upstreams."+name+".passwordFile"] = u.PasswordFile
	}
	for _, k := range sortedKeys(c.Store.Parameters) {
		if file, ok := c.Store.Parameters[k].(string); ok && strings.HasSuffix(k, fileSuffix) {
			secrets["store.parameters."+k] = file
		}
		if secretParameter(k) {
			add("store.parameters.%s holds a secret in the configuration; write it to a file and give %s%s", k, k, fileSuffix)
		}
	}
	for _, key := range sortedKeys(secrets) {
		if info, err := os.Stat(secrets[key]); err == nil && info.Mode().Perm()&0o007 != 0 {
			add("%s: every user of this machine can read %s; chmod o= it", key, secrets[key])
		}
	}
	if time.Duration(c.Admission.Hold) >= containerdGivesUp {
		add("admission.hold: containerd gives up after %s, before it is told to ask again", containerdGivesUp)
	}
	if c.Auth.HtpasswdFile != "" && c.Listen.TLS.CertFile == "" && !loopback(c.Listen.Registry) {
		add("auth.htpasswdFile: passwords cross the network in clear; set listen.tls, or let only a TLS proxy reach %s", c.Listen.Registry)
	}
	if c.Listen.Console != "" && !loopback(c.Listen.Console) {
		add("listen.console: %s is open to the network and asks for no password", c.Listen.Console)
	}
	return out
}

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
