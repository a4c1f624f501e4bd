package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// maxPattern bounds the length of a pattern. The longest name a registry takes is 255, and alternatives in braces
// need some room.
const maxPattern = 1024

// A Pattern says which images are meant: a doublestar pattern over upstream/repository, with or without :tag or
// @digest. Matching heeds case.
type Pattern string

// ParsePattern checks s and puts it in the form that references have: Docker Hub's other names become docker.io, and
// a single name there is one of library/, as clients have it.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return "", errors.New("a pattern is empty; ** matches every image")
	case len(s) > maxPattern:
		return "", fmt.Errorf("a pattern is longer than %d bytes", maxPattern)
	case !doublestar.ValidatePattern(s):
		return "", fmt.Errorf("%q is not a valid pattern: a bracket or brace is not closed", s)
	}
	for part := range strings.SplitSeq(s, "/") {
		if strings.Contains(part, "**") && part != "**" {
			return "", fmt.Errorf("%q: ** must stand alone between slashes, e.g. **/*:latest", s)
		}
	}
	upstream, repository, ok := strings.Cut(s, "/")
	switch upstream {
	case "index.docker.io", "registry-1.docker.io":
		upstream = dockerHub
	}
	if ok && upstream == dockerHub && !strings.Contains(repository, "/") && repository != "**" {
		repository = "library/" + repository
	}
	if !ok {
		return Pattern(s), nil
	}
	return Pattern(upstream + "/" + repository), nil
}

const dockerHub = "docker.io"

// unlikely says why a pattern will probably match nothing, "" when it may.
func (p Pattern) unlikely() string {
	first, _, ok := strings.Cut(string(p), "/")
	if p == "**" || strings.ContainsAny(first, "*?[{") {
		return ""
	}
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return fmt.Sprintf("pattern %q does not begin with an upstream such as docker.io or **/", string(p))
	}
	return ""
}

// A target is the set of names that patterns are tried against.
type target struct {
	name string
	ref  Reference
}

func targetOf(ref Reference) target { return target{name: ref.Name(), ref: ref} }

// MatchesName reports whether the pattern means upstream/repository, whatever the tag.
func (p Pattern) MatchesName(ref Reference) bool {
	return p == "**" || doublestar.MatchUnvalidated(string(p), ref.Name())
}

// matches reports whether the pattern means the image: by its name, name:tag, name@digest, or name@digest of the
// index through which it was reached.
func (p Pattern) matches(t target) bool {
	return p.matchesDirectly(t) || p.matchesIndex(t)
}

func (p Pattern) matchesDirectly(t target) bool {
	if p == "**" || doublestar.MatchUnvalidated(string(p), t.name) {
		return true
	}
	if t.ref.Tag != "" && doublestar.MatchUnvalidated(string(p), t.name+":"+t.ref.Tag) {
		return true
	}
	return t.ref.Digest != "" && doublestar.MatchUnvalidated(string(p), t.name+"@"+t.ref.Digest)
}

func (p Pattern) matchesIndex(t target) bool {
	return t.ref.Index != "" && doublestar.MatchUnvalidated(string(p), t.name+"@"+t.ref.Index)
}

func matchesAny(patterns []Pattern, t target) bool {
	for _, p := range patterns {
		if p.matches(t) {
			return true
		}
	}
	return false
}

// dependsOnIndex reports whether a pattern means the image only because of the index it was reached through.
func dependsOnIndex(patterns []Pattern, t target) bool {
	for _, p := range patterns {
		if p.matchesIndex(t) && !p.matchesDirectly(t) {
			return true
		}
	}
	return false
}
