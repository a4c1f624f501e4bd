package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/policy"
)

func TestExemptions(t *testing.T) {
	t.Parallel()
	const later, past = "2027-01-01T00:00:00Z", "2026-06-01T12:00:00Z" // past is now, to the second
	for name, c := range map[string]struct {
		exemption string
		decision  policy.Decision
		exempted  []string
	}{
		"for the image by digest":       {exemptionText("e", "docker.io/library/nginx@"+digestA, "no-root", later), policy.Admit, []string{"e"}},
		"for the image by tag":          {exemptionText("e", "docker.io/nginx:1.*", "no-root", later), policy.Admit, []string{"e"}},
		"for the image by name":         {exemptionText("e", "index.docker.io/nginx", "no-root", later), policy.Admit, []string{"e"}},
		"for the index it came through": {exemptionText("e", "docker.io/library/nginx@"+digestB, "no-root", later), policy.Admit, []string{"e"}},
		"for another digest":            {exemptionText("e", "docker.io/library/nginx@sha256:0*", "no-root", later), policy.Deny, nil},
		"for another repository":        {exemptionText("e", "docker.io/library/nginx2", "no-root", later), policy.Deny, nil},
		"with other capitals":           {exemptionText("e", "docker.io/library/Nginx", "no-root", later), policy.Deny, nil},
		"for another rule":              {exemptionText("e", "**", "no-roots", later), policy.Deny, nil},
		"expired":                       {exemptionText("e", "**", "no-root", past), policy.Deny, nil},
		"for an advisory":               {strings.Replace(exemptionText("e", "**", "no-root", later), "  reason", "  vulnerabilities: [CVE-2026-0001]\n  reason", 1), policy.Deny, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := rootImage()
			image.Image.Reference.Index = digestB
			v := evaluate(t, load(t, policyText("a", "**", denyRoot), c.exemption), image)
			if v.Decision != c.decision || len(v.Violations) != 1 {
				t.Errorf("decision %s, violations %+v", v.Decision, v.Violations)
			}
			if diff := cmp.Diff(c.exempted, v.Exemptions()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExemptionIsNotUsedWherePolicyIsNotIncluded(t *testing.T) {
	t.Parallel()
	set := load(t, policyText("a", "ghcr.io/**", denyRoot), exemptionText("e", "**", "no-root", "2027-01-01T00:00:00Z"))
	if v := evaluate(t, set, rootImage()); v.Decision != policy.Deny || v.Reason == "" {
		t.Errorf("%+v", v)
	}
}

func TestExemptionByAdvisoryLeavesTheOthers(t *testing.T) {
	t.Parallel()
	finds := policy.Builtin{
		Name: "test.advisories", Severity: policy.SeverityHigh, Stage: policy.StageManifest, Kinds: []policy.Kind{policy.KindImage},
		Compile: func(func(any) error) (policy.Check, error) {
			return func(policy.Input) policy.Outcome {
				return policy.Outcome{Message: "has advisories", Findings: []policy.Finding{
					{Text: "openssl: CVE-1", Vulnerability: "CVE-1"}, {Text: "zlib: CVE-2", Vulnerability: "CVE-2"},
				}}
			}, nil
		},
	}
	exemption := func(name, ids, expires string) string {
		return strings.Replace(exemptionText(name, "**", "r", expires), "  reason", "  vulnerabilities: ["+ids+"]\n  reason", 1)
	}
	text := policyText("a", "**", "{id: r, use: test.advisories, action: deny}")
	for name, c := range map[string]struct {
		exemptions []string
		decision   policy.Decision
		want       map[string][]string // evidence by exemption
	}{
		"one of two": {[]string{exemption("e", "cve-1", "2027-01-01T00:00:00Z")}, policy.Deny,
			map[string][]string{"e": {"openssl: CVE-1"}, "": {"zlib: CVE-2"}}},
		"both, by two": {[]string{exemption("e", "CVE-1", "2027-01-01T00:00:00Z"), exemption("f", "CVE-2", "2027-02-01T00:00:00Z")}, policy.Admit,
			map[string][]string{"e": {"openssl: CVE-1"}, "f": {"zlib: CVE-2"}}},
		"none": {[]string{exemption("e", "CVE-3", "2027-01-01T00:00:00Z")}, policy.Deny,
			map[string][]string{"": {"openssl: CVE-1", "zlib: CVE-2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := policy.Load(files(append(c.exemptions, text)...), []policy.Builtin{finds})
			if err != nil {
				t.Fatal(err)
			}
			v := evaluate(t, set, rootImage())
			got := map[string][]string{}
			for _, x := range v.Violations {
				got[x.Exemption] = x.Evidence
			}
			if diff := cmp.Diff(c.want, got); diff != "" || v.Decision != c.decision {
				t.Errorf("decision %s: %s", v.Decision, diff)
			}
		})
	}
}
