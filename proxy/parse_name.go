package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/winnow-registry/winnow/proxy/admission"
)

// Parse reads a reference as people write it for a client, [upstream/]repository[:tag][@digest], and names the upstream
// as a request would. Without tag and digest the tag is latest. With both, the digest counts and the tag is dropped:
// that is what clients ask a registry for.
func (n *Names) Parse(s string) (admission.Reference, error) {
	ref, err := n.parseName(s)
	if err != nil {
		return admission.Reference{}, fmt.Errorf("reading the reference %q: %w", s, err)
	}
	return ref, nil
}

func (n *Names) parseName(s string) (ref admission.Reference, err error) {
	name, digest, pinned := strings.Cut(s, "@")
	tag := "latest"
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, tag = name[:colon], name[colon+1:]
	}
	switch {
	case strings.Contains(s, "://"):
		return ref, errors.New("write it without a scheme")
	case !validTag(tag):
		return ref, fmt.Errorf("the tag %q may have 128 letters, digits, dots, dashes and underscores", tag)
	case pinned:
		if err := checkDigest(digest); err != nil {
			return ref, err
		}
		tag = ""
	}
	first, rest, inside := strings.Cut(name, "/")
	if inside && n.canonical[first] == "" && IsHost(first) {
		return ref, fmt.Errorf("%s is not among upstreams; add it to the configuration, e.g. upstreams: {%q: %s}", first, first, sample(first))
	}
	if n.canonical[first] == "" && n.fallback == "" {
		return ref, errors.New("it names no upstream, and defaultUpstream is empty; write one of upstreams before it")
	}
	if lower := strings.ToLower(rest); rest != lower && inside {
		return ref, errors.New("a repository is written in lower case")
	}
	ref.Tag, ref.Digest = tag, digest
	ref.Upstream, ref.Repository, err = n.resolve("", false, "", name)
	return ref, err
}

// IsHost reports whether the first element of a name is a registry's host and not a part of the repository, by Docker's
// rule: it has a dot or a port, or is localhost.
func IsHost(first string) bool {
	return strings.ContainsAny(first, ".:") || first == "localhost"
}

// sample is what to configure for a registry: one on this machine rarely has a certificate.
func sample(host string) string {
	if strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "127.") {
		return "{url: http://" + host + ", private: true}"
	}
	return "{}"
}
