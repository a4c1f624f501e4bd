package configs

import (
	"regexp"
	"strings"
)

// hostName matches host or host:port in lower case; IPv6 addresses stand in brackets.
const hostName = `^([a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`

// checkUpstreams checks each upstream and brings its URL into the form scheme://host.
func checkUpstreams(c *Config, src source) error {
	if len(c.Upstreams) == 0 {
		return src.errorf(path{"upstreams"}, "upstreams: is empty; name at least one, e.g. docker.io: {}")
	}
	host := regexp.MustCompile(hostName)
	for _, name := range sortedKeys(c.Upstreams) {
		p := path{"upstreams", name}
		if strings.Contains(name, "*") {
			return src.errorf(p, "upstreams: %q has a wildcard; every upstream is named", name)
		}
		if !host.MatchString(name) {
			return src.errorf(p, "upstreams: %q is no host or host:port in lower case, as clients write it before an image", name)
		}
		u := c.Upstreams[name]
		if err := checkUpstream(&u, p, src, host); err != nil {
			return err
		}
		c.Upstreams[name] = u
	}
	return checkDefaultUpstream(c, src)
}

func checkDefaultUpstream(c *Config, src source) error {
	if _, ok := c.Upstreams[c.DefaultUpstream]; ok || c.DefaultUpstream == "" {
		return nil
	}
	names := strings.Join(sortedKeys(c.Upstreams), ", ")
	p := path{"defaultUpstream"}
	return src.errorf(p, "%s: %q is not among upstreams; use one of %s, or \"\" for none", p, c.DefaultUpstream, names)
}

func checkUpstream(u *Upstream, p path, src source, host *regexp.Regexp) error {
	at := func(key string) path { return append(p[:len(p):len(p)], key) }
	base, why := parseBase(u.URL)
	if why != "" {
		return src.errorf(at("url"), "%s: %s; write scheme and host, e.g. https://registry.example.org", at("url"), why)
	}
	if base.Scheme == "http" && !u.Private {
		return src.errorf(at("url"), "%s: http is for upstreams with private: true only; use https", at("url"))
	}
	u.URL = base.Scheme + "://" + base.Host
	switch {
	case u.CredentialHelper != "" && (u.Username != "" || u.PasswordFile != ""):
		return src.errorf(at("credentialHelper"), "%s: is given beside username or passwordFile; keep one way to log in", p)
	case u.Username != "" && u.PasswordFile == "":
		return src.errorf(at("username"), "%s: username is given without passwordFile", p)
	case u.Username == "" && u.PasswordFile != "":
		return src.errorf(at("passwordFile"), "%s: passwordFile is given without username", p)
	case strings.ContainsAny(u.CredentialHelper, "/\\ "):
		return src.errorf(at("credentialHelper"), "%s: wants the NAME of a docker-credential-NAME program, not a path", at("credentialHelper"))
	}
	for _, f := range []struct{ key, file string }{{"passwordFile", u.PasswordFile}, {"caFile", u.CAFile}} {
		if err := checkReadable(src, at(f.key), f.file); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		key   string
		hosts []string
	}{{"tokenServers", u.TokenServers}, {"blobHosts", u.BlobHosts}} {
		for i, h := range l.hosts {
			if !host.MatchString(strings.ToLower(h)) {
				q := append(at(l.key), i)
				return src.errorf(q, "%s: wants host or host:port, without scheme, path or wildcard", q)
			}
		}
	}
	return nil
}
