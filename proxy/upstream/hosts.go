package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// hostUse says what a host may be asked for.
type hostUse uint8

const (
	useRegistry hostUse = iota // the upstream's own host: everything
	useToken                   // tokens
	useBlob                    // what the upstream redirects to
)

// A hostRule allows one host, or the hosts of a pattern whose * stands for part of one label.
type hostRule struct {
	host    string // lower case, without brackets
	port    string // "" = the default port of https, and of http where the upstream is http
	use     hostUse
	private bool // may resolve to a private address
}

// hostRules is the closed world of one upstream.
type hostRules struct {
	list []hostRule
	http bool // the upstream itself speaks plain HTTP
}

// knownHosts are the hosts that the big public registries send clients to, by the registry's own host. Sources: the
// allow-lists that Docker, GitHub, Red Hat and Google publish for firewalls. Wildcards stay within names that the
// same owner holds.
func knownHosts(host string) (tokens, blobs []string) {
	switch {
	case host == "registry-1.docker.io":
		return []string{"auth.docker.io"}, []string{
			"production.cloudflare.docker.com", "production.cloudfront.docker.com",
			"docker-images-prod.r2.cloudflarestorage.com",
			"docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
			"docker-images-prod.s3.dualstack.*.amazonaws.com", // an S3 bucket name has one owner everywhere
		}
	case host == "ghcr.io":
		return nil, []string{"pkg-containers.githubusercontent.com"}
	case host == "quay.io":
		return nil, []string{"cdn*.quay.io", "quayio-production-s3.s3.amazonaws.com"}
	case host == "gcr.io", strings.HasSuffix(host, ".gcr.io"), strings.HasSuffix(host, "-docker.pkg.dev"):
		return nil, []string{"storage.googleapis.com"}
	}
	return nil, nil
}

// newHostRules returns the closed world of an endpoint at base.
func newHostRules(e Endpoint, base *url.URL) (hostRules, error) {
	host, port := hostPort(base)
	rules := hostRules{
		list: []hostRule{{host: host, port: port, use: useRegistry, private: e.Private}},
		http: base.Scheme == "http",
	}
	tokens, blobs := knownHosts(host)
	for _, h := range tokens {
		rules.list = append(rules.list, hostRule{host: h, use: useToken})
	}
	for _, h := range blobs {
		rules.list = append(rules.list, hostRule{host: h, use: useBlob})
	}
	for _, more := range []struct {
		key   string
		hosts []string
		use   hostUse
	}{{"tokenServers", e.TokenServers, useToken}, {"blobHosts", e.BlobHosts, useBlob}} {
		for _, text := range more.hosts {
			rule, err := parseHost(text)
			if err != nil {
				return hostRules{}, fmt.Errorf("%s: %q: %w", more.key, text, err)
			}
			rule.use, rule.private = more.use, e.Private
			rules.list = append(rules.list, rule)
		}
	}
	return rules, nil
}

// parseHost reads host or host:port as configured. Wildcards are refused: what is listed is what is dialled.
func parseHost(text string) (hostRule, error) {
	host, port := strings.ToLower(text), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		number, err := strconv.ParseUint(p, 10, 16)
		if err != nil || number == 0 {
			return hostRule{}, fmt.Errorf("the port must be a number from 1 to 65535")
		}
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
		return hostRule{}, fmt.Errorf("write host or host:port, without scheme, path or wildcard")
	}
	return hostRule{host: host, port: port}, nil
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 || strings.HasSuffix(s, ".") {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// allows reports whether a URL may be asked for the given use. The upstream's own host may be asked for all.
func (h hostRules) allows(u *url.URL, use hostUse) bool {
	host, port := hostPort(u)
	for _, rule := range h.list {
		if (rule.use == use || rule.use == useRegistry) && rule.matches(host) && rule.matchesPort(port, u.Scheme) {
			return true
		}
	}
	return false
}

// target returns the rule that lets host:port be dialled. Where several do, one that permits private addresses wins:
// it is the one that a person wrote.
func (h hostRules) target(host, port string) (hostRule, bool) {
	var found hostRule
	ok := false
	for _, rule := range h.list {
		fits := rule.matchesPort(port, "https") || (h.http && rule.matchesPort(port, "http"))
		if rule.matches(host) && fits {
			found, ok = rule, true
			if rule.private {
				break
			}
		}
	}
	return found, ok
}

func (r hostRule) matches(host string) bool {
	if !strings.Contains(r.host, "*") {
		return r.host == host
	}
	// Labels become path elements, so that * does not reach over a dot. A host name holds no slash.
	ok, err := path.Match(strings.ReplaceAll(r.host, ".", "/"), strings.ReplaceAll(host, ".", "/"))
	return err == nil && ok && isHostName(host)
}

func (r hostRule) matchesPort(port, scheme string) bool {
	if r.port != "" {
		return r.port == port
	}
	return port == defaultPort(scheme)
}

// hostPort returns the host of u in lower case and its port, given or default.
func hostPort(u *url.URL) (host, port string) {
	host, port = strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return host, port
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
