package policy

import (
	"slices"
	"strings"
	"time"
)

// exempt applies the exemptions that are in force to v. Where exemptions name advisories, what they cover becomes a
// violation of its own, so that the rest keeps its effect. until is when the first exemption that was used ends.
func (s *Set) exempt(v Violation, findings []Finding, t target, now time.Time) (out []Violation, until time.Time) {
	usable := s.usable(v.Rule, t, now)
	if len(usable) == 0 {
		return []Violation{v}, time.Time{}
	}
	for _, e := range usable {
		if len(e.Vulnerabilities) == 0 {
			v.Exemption = e.Name
			return []Violation{v}, e.Expires
		}
	}
	rest := findings
	for _, e := range usable {
		var covered, open []Finding
		for _, f := range rest {
			if e.covers(f) {
				covered = append(covered, f)
			} else {
				open = append(open, f)
			}
		}
		if len(covered) == 0 {
			continue
		}
		part := v
		part.Exemption, part.Evidence = e.Name, evidence(covered)
		out, rest, until = append(out, part), open, sooner(until, e.Expires)
	}
	if len(rest) > 0 || len(out) == 0 { // a violation without findings is not about an advisory
		if len(out) > 0 {
			v.Evidence = evidence(rest)
		}
		out = append(out, v)
	}
	return out, until
}

// usable returns the exemptions for the rule and image that have not expired, the one that lasts longest first.
func (s *Set) usable(rule string, t target, now time.Time) []*Exemption {
	var out []*Exemption
	for _, e := range s.exemptions {
		if now.Before(e.Expires) && slices.Contains(e.Rules, rule) && matchesAny(e.patterns, t) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b *Exemption) int { return b.Expires.Compare(a.Expires) })
	return out
}

func (e *Exemption) covers(f Finding) bool {
	return f.Vulnerability != "" && slices.ContainsFunc(e.Vulnerabilities, func(id string) bool { return strings.EqualFold(id, f.Vulnerability) })
}
