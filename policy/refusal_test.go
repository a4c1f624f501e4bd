package policy_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/winnow-registry/winnow/policy"
)

const why = "http://localhost:5000/why/3c6e0b8a9c15224a8228b9a9"

func TestRefusalSentence(t *testing.T) {
	t.Parallel()
	deny := func(rule, message string, s policy.Severity, a policy.Action) policy.Violation {
		return policy.Violation{Rule: rule, Message: message, Severity: s, Action: a}
	}
	ref := policy.Reference{Upstream: "docker.io", Repository: "library/nginx", Tag: "1.27"}
	for name, c := range map[string]struct {
		verdict policy.Verdict
		why     string
		want    string
	}{
		"one rule": {policy.Verdict{Violations: []policy.Violation{deny("no-root", "runs as root", policy.SeverityHigh, policy.ActionDeny)}}, why,
			"no-root: docker.io/library/nginx:1.27 runs as root; why: " + why},
		"the gravest first, the others counted": {policy.Verdict{Violations: []policy.Violation{
			deny("warned", "w", policy.SeverityCritical, policy.ActionWarn), deny("slimmed", "s", policy.SeverityCritical, policy.ActionSlim),
			deny("low", "l", policy.SeverityLow, policy.ActionDeny), deny("high", "h", policy.SeverityHigh, policy.ActionDeny),
		}}, why, "high: docker.io/library/nginx:1.27 h (+2 more); why: " + why},
		"exempted and audited rules are not named": {policy.Verdict{Violations: []policy.Violation{
			{Rule: "e", Action: policy.ActionDeny, Exemption: "x"}, {Rule: "a", Action: policy.ActionDeny, AuditOnly: true},
			deny("low", "l", policy.SeverityLow, policy.ActionDeny),
		}}, why, "low: docker.io/library/nginx:1.27 l; why: " + why},
		"no address":   {policy.Verdict{Violations: []policy.Violation{deny("r", "m", policy.SeverityLow, policy.ActionDeny)}}, "", "r: docker.io/library/nginx:1.27 m"},
		"a reason":     {policy.Verdict{Reason: "has an ambiguous manifest"}, "", "refused: docker.io/library/nginx:1.27 has an ambiguous manifest"},
		"nothing said": {policy.Verdict{}, "", "refused: docker.io/library/nginx:1.27 may not be served"},
		"a digest to pull instead": {policy.Verdict{SlimDigest: digestA, Violations: []policy.Violation{deny("r", "m", policy.SeverityLow, policy.ActionSlim)}}, why,
			"r: docker.io/library/nginx:1.27 m; pull " + digestA + " instead; why: " + why},
		"control characters": {policy.Verdict{Violations: []policy.Violation{deny("r", "a\r\nb\x1b[31m\u202e\u2028c\xff", policy.SeverityLow, policy.ActionDeny)}}, "",
			"r: docker.io/library/nginx:1.27 a  b?[31m? c?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := policy.Refusal(&c.verdict, ref, c.why); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRefusalOfAnImageThatNoPolicyIncludes(t *testing.T) {
	t.Parallel()
	v := evaluate(t, load(t), rootImage())
	want := "no-policy: docker.io/library/nginx:1.27@" + digestA + " is not included by any policy; why: " + why
	if got := policy.Refusal(v, nginx, why); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLongRefusalKeepsRuleAndAddressWhole(t *testing.T) {
	t.Parallel()
	v := &policy.Verdict{Violations: []policy.Violation{{Rule: "no-root", Action: policy.ActionDeny, Message: strings.Repeat("very bad ", 100)}}}
	ref := policy.Reference{Upstream: "registry.example", Repository: strings.Repeat("a/", 100) + "b", Tag: "1", Digest: digestA}
	got := policy.Refusal(v, ref, why)
	if len(got) > 300 || !strings.HasPrefix(got, "no-root: registry.example/a/") || !strings.HasSuffix(got, "; why: "+why) || !strings.Contains(got, "very bad") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	long := "http://localhost/" + strings.Repeat("x", 300)
	if got := policy.Refusal(v, ref, long); len(got) > 300 || strings.Contains(got, "http") {
		t.Errorf("an address that does not fit is cut: %s", got)
	}
}

func TestWhyIDIsThatOfDigestAndRevision(t *testing.T) {
	t.Parallel()
	base := policy.Verdict{Digest: digestA, Scope: "s", Revision: "r", Decision: policy.Deny, Decided: noon}
	same := base
	same.Decided, same.Epoch, same.ValidUntil, same.Scope = noon.AddDate(0, 0, 1), "e", noon, "t"
	if policy.WhyID(&base) != policy.WhyID(&same) {
		t.Error("the id is another on another try")
	}
	seen := map[string]bool{policy.WhyID(&base): true}
	for _, v := range []policy.Verdict{{Digest: digestB, Revision: "r"}, {Digest: digestA, Revision: "q"}, {Digest: "", Revision: digestA + "r"}} {
		if id := policy.WhyID(&v); seen[id] || len(id) < 16 {
			t.Errorf("id %q is short or given twice", id)
		} else {
			seen[id] = true
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add("no-root", "runs as root", "library/nginx", why)
	f.Add("r\u202e\n", "\xff\x00", strings.Repeat("é", 200), "http://x/\r\nSet-Cookie: a")
	f.Add(strings.Repeat("r", 400), strings.Repeat("ä", 400), "", strings.Repeat("x", 199))
	f.Fuzz(func(t *testing.T, rule, message, repository, address string) {
		v := &policy.Verdict{SlimDigest: message, Violations: []policy.Violation{
			{Rule: rule, Message: message, Action: policy.ActionDeny}, {Rule: "b", Action: policy.ActionDeny},
		}}
		got := policy.Refusal(v, policy.Reference{Upstream: "docker.io", Repository: repository, Digest: digestA}, address)
		if len(got) > 300 || !utf8.ValidString(got) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		for _, r := range got {
			if r != ' ' && !unicode.IsPrint(r) {
				t.Fatalf("holds %U: %q", r, got)
			}
		}
		if len(address) > 0 && len(address) <= 150 && unicodeClean(address) && !strings.HasSuffix(got, "; why: "+address) {
			t.Fatalf("the address is missing or cut: %q", got)
		}
	})
}

func unicodeClean(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) })
}
