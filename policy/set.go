package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// A File is one file of policy documents. Name stands in error messages only.
type File struct {
	Name string
	Data []byte
}

// A Set is the policies and exemptions that are in force together. It is immutable; Load makes it.
type Set struct {
	policies   []*loadedPolicy // by name
	exemptions []*Exemption    // by name
	revision   string
	warnings   []string
	reads      reads // what any expression of any policy reads
}

// loadedPolicy is one policy document, compiled.
type loadedPolicy struct {
	name     string
	include  []Pattern
	exclude  []Pattern
	audit    bool
	rules    []*rule
	slimming *Slimming
}

func (p *loadedPolicy) includes(t target) bool {
	return matchesAny(p.include, t) && !matchesAny(p.exclude, t)
}

// Revision is the identity of all loaded documents and of the built-in rules they use, "sha256:…". It does not
// depend on file names, their order, comments or layout; a verdict made under another revision is void.
func (s *Set) Revision() string { return s.revision }

// Warnings returns what loading found odd without being wrong, one line each.
func (s *Set) Warnings() []string { return slices.Clone(s.warnings) }

// Exemptions returns the loaded exemptions by name, the expired ones too.
func (s *Set) Exemptions() []Exemption {
	out := make([]Exemption, len(s.exemptions))
	for i, e := range s.exemptions {
		out[i] = *e
	}
	return out
}

// matching returns the policies that include the image.
func (s *Set) matching(t target) []*loadedPolicy {
	var out []*loadedPolicy
	for _, p := range s.policies {
		if p.includes(t) {
			out = append(out, p)
		}
	}
	return out
}

// Needs returns how much of an image must be known before all rules of the policies that include it can be judged.
// It is StageManifest at least, so that a manifest is always parsed. Ask with the digest: patterns may name it.
func (s *Set) Needs(ref Reference) Stage {
	stage := StageManifest
	for _, p := range s.matching(targetOf(ref)) {
		for _, r := range p.rules {
			stage = max(stage, r.stage)
		}
	}
	return stage
}

// Slims reports whether a policy that includes the image and is enforced can ask for it to be slimmed.
func (s *Set) Slims(ref Reference) bool {
	for _, p := range s.matching(targetOf(ref)) {
		if !p.audit && slices.ContainsFunc(p.rules, func(r *rule) bool { return r.action == ActionSlim }) {
			return true
		}
	}
	return false
}

// Slimmings returns the slim blocks of the enforced policies that include the image, by policy name.
func (s *Set) Slimmings(ref Reference) []Slimming {
	var out []Slimming
	for _, p := range s.matching(targetOf(ref)) {
		if !p.audit && p.slimming != nil {
			out = append(out, *p.slimming)
		}
	}
	return out
}

// Scope returns the part of a verdict's identity that the digest does not give: two references, or two requesters,
// that could be judged differently have different scopes. It is name:tag, or name@ for what was asked for by digest;
// #digest follows where a pattern means the index an image was reached through, and ;client= and a hash where a rule
// reads who asks.
func (s *Set) Scope(ref Reference, who Requester) string {
	separator := "@" // a tag cannot be empty, nor hold # or ;
	if ref.Tag != "" {
		separator = ":"
	}
	scope := ref.Upstream + "/" + ref.Repository + separator + ref.Tag
	if ref.Index != "" && s.dependsOnIndex(targetOf(ref)) {
		scope += "#" + ref.Index
	}
	if s.reads.clientIP || s.reads.user || s.reads.agent {
		scope += s.clientScope(targetOf(ref), who)
	}
	return scope
}

func (s *Set) dependsOnIndex(t target) bool {
	for _, p := range s.policies {
		if dependsOnIndex(p.include, t) || dependsOnIndex(p.exclude, t) {
			return true
		}
	}
	return slices.ContainsFunc(s.exemptions, func(e *Exemption) bool { return dependsOnIndex(e.patterns, t) })
}

// clientScope covers just those properties of the requester that rules about the image read, so that verdicts are
// shared between all who agree in them.
func (s *Set) clientScope(t target, who Requester) string {
	var read reads
	for _, p := range s.matching(t) {
		for _, r := range p.rules {
			if r.expression != nil {
				read.addClient(r.expression.reads)
			}
		}
	}
	var parts []string
	for _, part := range []struct {
		read bool
		text string
	}{{read.clientIP, "ip=" + who.IP}, {read.user, "user=" + who.User}, {read.agent, "agent=" + who.Agent}} {
		if part.read {
			parts = append(parts, part.text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	// A zero byte cannot stand in a header or a user name, so that no requester can spell another's parts.
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return ";client=" + hex.EncodeToString(sum[:16])
}
