package proxy

import (
	"net"
	"strings"
)

// dockerHub is the one upstream with several names, and with names of one element that mean library/….
const dockerHub = "docker.io"

// Names maps what a request says to the configured upstreams, a closed list.
type Names struct {
	canonical map[string]string // every accepted spelling -> the name in the configuration
	fallback  string
}

// NewNames returns the naming of the given upstreams; fallback names those requests that name none.
func NewNames(upstreams []string, fallback string) *Names {
	n := &Names{canonical: map[string]string{}, fallback: fallback}
	for _, u := range upstreams {
		n.canonical[u] = u
		if u == dockerHub {
			n.canonical["index.docker.io"], n.canonical["registry-1.docker.io"] = u, u
		}
	}
	return n
}

const (
	// maxName is the longest name with its upstream, bytes: distribution's limit, which clients share.
	maxName = 255
	// maxComponents of a repository path.
	maxComponents = 64
)

// resolve names upstream and repository: by ns, else by a first path element that is a configured upstream, else by
// Host, else the default. The path is not looked at twice: it names an upstream or it does not.
func (n *Names) resolve(ns string, hasNS bool, host, path string) (upstream, repository string, err error) {
	first, rest, _ := strings.Cut(path, "/")
	inPath := n.canonical[first]
	if rest == "" {
		inPath = ""
	}
	switch {
	case hasNS:
		upstream = n.canonical[ns]
		if upstream == "" {
			return "", "", badRequest("NAME_UNKNOWN", 404, "no upstream of the name given by ns is configured")
		}
		if inPath != "" && inPath != upstream {
			return "", "", badRequest("NAME_INVALID", 400, "ns and path name different upstreams")
		}
	case inPath != "":
		upstream = inPath
	default:
		if upstream = n.byHost(host); upstream == "" {
			upstream = n.fallback
		}
		if upstream == "" {
			return "", "", badRequest("NAME_UNKNOWN", 404, "the request names no upstream, and none is the default")
		}
	}
	repository = path
	if inPath != "" {
		repository = rest
	}
	if upstream == dockerHub && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	return upstream, repository, n.check(upstream, repository)
}

func (n *Names) byHost(host string) string {
	if u := n.canonical[host]; u != "" {
		return u
	}
	if name, port, err := net.SplitHostPort(host); err == nil && (port == "443" || port == "80") {
		return n.canonical[name]
	}
	return ""
}

func (n *Names) check(upstream, repository string) error {
	if len(upstream)+1+len(repository) > maxName {
		return badRequest("NAME_INVALID", 400, "the name is longer than 255 bytes")
	}
	if strings.Count(repository, "/") >= maxComponents {
		return badRequest("NAME_INVALID", 400, "the name has more than 64 parts")
	}
	if !validRepository(repository) {
		return badRequest("NAME_INVALID", 400, "the name is not a valid repository name")
	}
	// Docker Hub has no namespace with a dot: this is the name of a registry that is not configured.
	if first, _, _ := strings.Cut(repository, "/"); upstream == dockerHub && strings.Contains(first, ".") {
		return badRequest("NAME_UNKNOWN", 404, "no upstream "+first+" is configured")
	}
	return nil
}

// validRepository checks the grammar of distribution-spec 1.1 ("Pulling manifests"):
// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func validRepository(s string) bool {
	word := false // the last byte was a letter or digit
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			word = true
			i++
			continue
		case !word:
			return false
		case c == '.' || c == '/':
			i++
		case c == '_':
			i++
			if i < len(s) && s[i] == '_' {
				i++
			}
		case c == '-':
			for i < len(s) && s[i] == '-' {
				i++
			}
		default:
			return false
		}
		word = false
	}
	return word
}

// validTag checks [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}

// checkDigest accepts sha256 digests and says of others whether they are malformed or only not served.
func checkDigest(s string) error {
	algorithm, encoded, _ := strings.Cut(s, ":")
	if algorithm == "sha256" && len(encoded) == 64 && isHex(encoded) {
		return nil
	}
	switch algorithm {
	case "sha384", "sha512", "blake3", "sha1", "md5":
		if isHex(encoded) && encoded != "" {
			return badRequest("UNSUPPORTED", 400, "only sha256 digests are served")
		}
	}
	return badRequest("DIGEST_INVALID", 400, "the digest is not sha256: and 64 lower-case hex digits")
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
