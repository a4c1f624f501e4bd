package configs

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validate returns the first thing that is wrong with c.
func validate(c *Config, src source) error {
	for _, check := range []func(*Config, source) error{
		checkListen, checkTLS, checkUpstreams, checkAdmission, checkChoices, checkStore, checkCache, checkPaths, checkFuture,
	} {
		if err := check(c, src); err != nil {
			return err
		}
	}
	return nil
}

func checkListen(c *Config, src source) error {
	for _, l := range []struct{ key, address string }{{"registry", c.Listen.Registry}, {"console", c.Listen.Console}} {
		if l.address == "" && l.key == "console" {
			continue
		}
		p := path{"listen", l.key}
		if err := checkAddress(l.address); err != nil {
			return src.errorf(p, "%s: %v; write host:port, e.g. 127.0.0.1:5000", p, err)
		}
	}
	if _, port, _ := net.SplitHostPort(c.Listen.Registry); port != "0" && c.Listen.Registry == c.Listen.Console {
		p := path{"listen", "console"}
		return src.errorf(p, "%s: %s is the registry's address too; give the console its own", p, c.Listen.Console)
	}
	if c.Listen.PublicURL == "" {
		return nil
	}
	p := path{"listen", "publicURL"}
	u, why := parseBase(c.Listen.PublicURL)
	if why != "" {
		return src.errorf(p, "%s: %s; write e.g. https://registry.example.org", p, why)
	}
	c.Listen.PublicURL = u.Scheme + "://" + u.Host
	return nil
}

// checkAddress accepts host:port with a host that may be empty.
func checkAddress(address string) error {
	if address == "" {
		return fmt.Errorf("is empty")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address with a port", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535", address)
	}
	if strings.ContainsAny(host, "/@ *") {
		return fmt.Errorf("%q has no valid host", address)
	}
	return nil
}

// parseBase reads scheme and host, and says what else there is. It never repeats the text: a password may be in it.
func parseBase(text string) (*url.URL, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "is no URL"
	case u.User != nil:
		return nil, "holds a user or a password; a secret is given by a ...File key"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "does not begin with https:// (or http://)"
	case u.Hostname() == "" || strings.ContainsAny(u.Host, "* "):
		return nil, "names no host"
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.ForceQuery, u.Opaque != "":
		return nil, "has more than scheme and host"
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, "has no port from 0 to 65535"
		}
	}
	return u, ""
}

func checkTLS(c *Config, src source) error {
	t := c.Listen.TLS
	if (t.CertFile == "") != (t.KeyFile == "") {
		have, lack := "certFile", "keyFile"
		if t.CertFile == "" {
			have, lack = lack, have
		}
		return src.errorf(path{"listen", "tls", have}, "listen.tls: %s is given without %s; give both or neither", have, lack)
	}
	if t.ClientCAFile != "" && t.CertFile == "" {
		return src.errorf(path{"listen", "tls", "clientCAFile"},
			"listen.tls: clientCAFile is given without certFile and keyFile; client certificates need TLS")
	}
	for _, f := range []struct{ key, file string }{
		{"certFile", t.CertFile}, {"keyFile", t.KeyFile}, {"clientCAFile", t.ClientCAFile},
	} {
		if err := checkReadable(src, path{"listen", "tls", f.key}, f.file); err != nil {
			return err
		}
	}
	return checkReadable(src, path{"auth", "htpasswdFile"}, c.Auth.HtpasswdFile)
}

// checkReadable opens the file at p, if any.
func checkReadable(src source, p path, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return src.errorf(p, "%s: %v", p, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return src.errorf(p, "%s: %s is a folder; name a file", p, file)
	}
	return nil
}

func checkAdmission(c *Config, src source) error {
	a := c.Admission
	fail := func(key, format string, args ...any) error {
		p := path{"admission", key}
		return src.errorf(p, "%s: %s", p, fmt.Sprintf(format, args...))
	}
	switch {
	case a.Hold <= 0:
		return fail("hold", "must be longer than 0s")
	case a.Timeout < a.Hold:
		return fail("timeout", "%s is shorter than hold, %s", a.Timeout, a.Hold)
	case a.MaxImageSize <= 0:
		return fail("maxImageSize", "must be more than 0")
	case a.Concurrency < 1:
		return fail("concurrency", "must be 1 or more")
	case len(a.Platforms) == 0:
		return fail("platforms", "is empty; name at least one, e.g. linux/amd64")
	}
	for i, platform := range a.Platforms {
		parts := strings.Split(platform, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") || strings.ContainsAny(platform, " *") {
			p := path{"admission", "platforms", i}
			return src.errorf(p, "%s: %q is no platform; write os/architecture or os/architecture/variant", p, platform)
		}
	}
	return nil
}

// checkChoices refuses words that are none of a key's.
func checkChoices(c *Config, src source) error {
	for _, k := range []struct {
		path    path
		value   string
		choices []string
	}{
		{path{"deny", "style"}, c.Deny.Style, []string{"standard", "sticky"}},
		{path{"audit", "onFailure"}, c.Audit.OnFailure, []string{"refuse"}},
		{path{"log", "level"}, c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{path{"log", "format"}, c.Log.Format, []string{"json", "console"}},
		{path{"store", "driver"}, c.Store.Driver, []string{driverFilesystem, "s3", "s3aws", "gcs", "azure", "inmemory"}},
	} {
		if !slices.Contains(k.choices, k.value) {
			return src.errorf(k.path, "%s: %q is not known; use %s", k.path, k.value, strings.Join(k.choices, ", "))
		}
	}
	return nil
}

func checkStore(c *Config, src source) error {
	if c.Store.Driver == driverFilesystem {
		p := path{"store", "parameters", rootDirectory}
		if root, ok := c.Store.Parameters[rootDirectory].(string); !ok || root == "" {
			return src.errorf(p, "%s: wants the name of a folder", p)
		}
	}
	for _, k := range sortedKeys(c.Store.Parameters) {
		if file, ok := c.Store.Parameters[k].(string); ok && strings.HasSuffix(k, fileSuffix) {
			if err := checkReadable(src, path{"store", "parameters", k}, file); err != nil {
				return err
			}
		}
	}
	if _, err := c.Store.DriverParameters(); err != nil {
		return src.errorf(path{"store", "parameters"}, "%v", err)
	}
	return nil
}

func checkCache(c *Config, src source) error {
	for i, a := range c.Cache.Redis.Addresses {
		p := path{"cache", "redis", "addresses", i}
		if host, _, _ := net.SplitHostPort(a); checkAddress(a) != nil || host == "" {
			return src.errorf(p, "%s: %q is no address; write host:port, e.g. redis:6379", p, a)
		}
	}
	r := c.Cache.Redis
	if len(r.Addresses) == 0 && (r.SentinelMaster != "" || r.Username != "" || r.PasswordFile != "") {
		return src.errorf(path{"cache", "redis"}, "cache.redis.addresses: is empty, but other keys of cache.redis are given")
	}
	if len(r.Addresses) > 0 && c.Cache.MACKeyFile == "" {
		return src.errorf(path{"cache", "redis", "addresses"}, "cache.macKeyFile: is required with Redis; make a key with "+
			"`(umask 077; openssl rand -base64 32 > mac.key)` and give every replica the same")
	}
	if err := checkReadable(src, path{"cache", "redis", "passwordFile"}, r.PasswordFile); err != nil {
		return err
	}
	if c.Cache.MACKeyFile == "" || len(r.Addresses) == 0 {
		return nil // without Redis a key that is not there is made
	}
	return checkReadable(src, path{"cache", "macKeyFile"}, c.Cache.MACKeyFile)
}

// checkPaths refuses empty names of what is written to.
func checkPaths(c *Config, src source) error {
	for _, k := range []struct {
		path  path
		value string
	}{{path{"cache", "embedded", "path"}, c.Cache.Embedded.Path}, {path{"audit", "path"}, c.Audit.Path}} {
		if k.value == "" {
			return src.errorf(k.path, "%s: is empty; name a place below a folder that Winnow may write to", k.path)
		}
	}
	if r := c.Policy.Reload; r > 0 && r < Duration(time.Second) {
		p := path{"policy", "reload"}
		return src.errorf(p, "%s: %s is shorter than 1s", p, r)
	}
	return nil
}

// checkFuture refuses keys of the contract that this version cannot honour: ignoring one would weaken what its writer relies on.
func checkFuture(c *Config, src source) error {
	for _, k := range []struct {
		path  path
		given bool
		mend  string
	}{
		{path{"listen", "intercept"}, c.Listen.Intercept != "", "the forward proxy and transparent TLS are not built in this version; leave it empty"},
		{path{"deny", "style"}, c.Deny.Style == "sticky", "sticky refusals are not built in this version; use standard"},
		{path{"advisories", "sources"}, len(c.Advisories.Sources) > 0, "advisories are not built in this version; leave it empty"},
	} {
		if k.given {
			return src.errorf(k.path, "%s: %s", k.path, k.mend)
		}
	}
	return nil
}
