package policy

import (
	"time"
)

// Decision is what a verdict says of an image.
type Decision string

const (
	Admit Decision = "admit" // served as the upstream has it
	Slim  Decision = "slim"  // served as a slimmed image that complies
	Deny  Decision = "deny"  // refused
)

// Action is what a rule asks for when an image breaks it.
type Action string

const (
	ActionWarn Action = "warn" // never changes the answer
	ActionSlim Action = "slim" // admit if slimming mends it, else deny
	ActionDeny Action = "deny"
)

// Severity of a violation.
type Severity string

const (
	SeverityInfo     Severity = "info"
	SeverityLow      Severity = "low"
	SeverityMedium   Severity = "medium"
	SeverityHigh     Severity = "high"
	SeverityCritical Severity = "critical"
)

// A Violation is one rule, broken by one image.
type Violation struct {
	Rule      string   `json:"rule"`   // the id the policy document gives it
	Policy    string   `json:"policy"` // metadata.name of the policy
	Use       string   `json:"use,omitempty"`
	Action    Action   `json:"action"`
	Severity  Severity `json:"severity"`
	Message   string   `json:"message"`             // one sentence without the image's name, e.g. "runs as root"
	Evidence  []string `json:"evidence,omitempty"`  // what was found and where, one finding a line, secrets masked
	Controls  []string `json:"controls,omitempty"`  // e.g. "NIST SP 800-190 4.1.2", "CIS Docker 4.1"
	Advice    string   `json:"advice,omitempty"`    // what to do about it
	Exemption string   `json:"exemption,omitempty"` // the exemption that permits it; it then has no effect
	AuditOnly bool     `json:"auditOnly,omitempty"` // from a policy in mode audit: recorded, without effect
}

// A Verdict is the decision for one image digest, in one scope, under one revision and epoch. It is immutable once
// made: readers share it.
type Verdict struct {
	Digest     string      `json:"digest"`
	Scope      string      `json:"scope"` // see Set.Scope
	Revision   string      `json:"revision"`
	Epoch      string      `json:"epoch"`
	Inspector  string      `json:"inspector"` // version of the code that read the contents
	Reference  string      `json:"reference"` // the image as it was named, for people
	MediaType  string      `json:"mediaType,omitempty"`
	Size       int64       `json:"size,omitempty"` // of the manifest, bytes
	Decision   Decision    `json:"decision"`
	WouldBe    Decision    `json:"wouldBe,omitempty"` // with policies in mode audit counted; set only where it differs
	Violations []Violation `json:"violations,omitempty"`
	Policies   []string    `json:"policies,omitempty"` // names of the policies that include the image
	Reason     string      `json:"reason,omitempty"`   // sentence for a refusal that no single rule explains
	Decided    time.Time   `json:"decided"`
	ValidUntil time.Time   `json:"validUntil"` // zero: as long as revision and epoch stand
	SlimDigest string      `json:"slimDigest,omitempty"`
	// Partial says that some rule waits for more of the image than was known: only a refusal is final then.
	Partial bool `json:"partial,omitempty"`
}

// A VerdictKey names a verdict that may be remembered.
type VerdictKey struct {
	Digest   string
	Scope    string
	Revision string
}

// Key returns the name under which v is remembered.
func (v *Verdict) Key() VerdictKey {
	return VerdictKey{Digest: v.Digest, Scope: v.Scope, Revision: v.Revision}
}

// Holds reports whether v still says the truth at now, under revision and epoch as they are now.
func (v *Verdict) Holds(revision, epoch, inspector string, now time.Time) bool {
	return (!v.Partial || v.Decision == Deny) && v.Revision == revision && v.Epoch == epoch && v.Inspector == inspector &&
		(v.ValidUntil.IsZero() || now.Before(v.ValidUntil))
}

// Effective returns the violations that made the decision: neither exempted nor from a policy in mode audit.
func (v *Verdict) Effective() []Violation {
	var out []Violation
	for _, x := range v.Violations {
		if x.Exemption == "" && !x.AuditOnly {
			out = append(out, x)
		}
	}
	return out
}

// Exemptions returns the names of the exemptions the verdict rests on, without repetition.
func (v *Verdict) Exemptions() []string {
	return v.unique(func(x Violation) string { return x.Exemption })
}

// Rules returns the ids of the broken rules, without repetition, exempted ones included.
func (v *Verdict) Rules() []string { return v.unique(func(x Violation) string { return x.Rule }) }

func (v *Verdict) unique(of func(Violation) string) []string {
	var out []string
	seen := map[string]bool{}
	for _, x := range v.Violations {
		if s := of(x); s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
