package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

func runCases(t *testing.T, text string, named map[string]string) ([]policy.CaseResult, error) {
	t.Helper()
	return policy.RunTests(t.Context(), policy.Cases{
		File: policy.File{Name: "tests.yaml", Data: []byte(text)}, Policies: files(policyText("default", "**", denyRoot)), Builtins: rules.All(),
		Read: func(name string) ([]policy.File, error) {
			if text, ok := named[name]; ok {
				return []policy.File{{Name: name, Data: []byte(text)}}, nil
			}
			return nil, errors.New(name + ": no such file")
		},
	})
}

func TestCasesSayHowTheVerdictDiffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		test string
		want []string
	}{
		"as expected":              {"{facts: {reference: ghcr.io/a/b:1}, expect: {decision: deny, violations: [no-root], exempted: []}}", nil},
		"lists left out":           {"{facts: {reference: ghcr.io/a/b:1}, expect: {decision: deny}}", nil},
		"another decision":         {"{facts: {reference: ghcr.io/a/b:1}, expect: {decision: admit}}", []string{"decision is deny, not admit"}},
		"a violation too many":     {"{facts: {reference: ghcr.io/a/b:1}, expect: {decision: deny, violations: []}}", []string{"violation no-root was not expected"}},
		"a violation that is not":  {"{facts: {reference: ghcr.io/a/b:1, config: {user: '1'}}, expect: {decision: admit, violations: [no-root]}}", []string{"violation no-root is missing"}},
		"not exempted":             {"{facts: {reference: ghcr.io/a/b:1}, expect: {decision: deny, exempted: [no-root]}}", []string{"exempted violation no-root is missing"}},
		"policies of its own":      {"{policies: [warn.yaml], facts: {reference: ghcr.io/a/b:1}, expect: {decision: admit, violations: [no-root]}}", nil},
		"facts in a file":          {"{facts: facts.yaml, expect: {decision: deny}}", nil},
		"audit":                    {"{policies: [audit.yaml], facts: facts.yaml, expect: {decision: admit, wouldBe: deny}}", nil},
		"another audit":            {"{policies: [warn.yaml], facts: facts.yaml, expect: {decision: admit, wouldBe: deny}}", []string{`wouldBe is "", not "deny"`}},
		"who asks":                 {"{policies: [who.yaml], facts: facts.yaml, request: {user: alice}, expect: {decision: admit}}", nil},
		"somebody else asks":       {"{policies: [who.yaml], facts: facts.yaml, expect: {decision: deny}}", nil},
		"an artifact":              {"{facts: {reference: ghcr.io/a/b:1, kind: artifact}, expect: {decision: admit}}", nil},
		"a bare name is library's": {"{policies: [library.yaml], facts: {reference: 'docker.io/nginx:1'}, expect: {decision: admit}}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, err := runCases(t, "tests:\n  - "+strings.Replace(c.test, "{", "{name: x, ", 1)+"\n", map[string]string{
				"warn.yaml": policyText("w", "**", warnRoot), "audit.yaml": audit(policyText("a", "**", denyRoot)),
				"who.yaml":     policyText("p", "**", `{id: r, expression: 'request.client.user == "alice"', action: deny}`),
				"library.yaml": policyText("l", "docker.io/library/*", warnRoot), "facts.yaml": "reference: docker.io/library/nginx@" + digestA,
			})
			if err != nil || len(results) != 1 {
				t.Fatalf("%d results: %v", len(results), err)
			}
			if diff := cmp.Diff(c.want, results[0].Failures); diff != "" || results[0].Name != "x" || results[0].Line != 2 || results[0].Verdict == nil {
				t.Errorf("%+v: %s", results[0], diff)
			}
		})
	}
}

func TestCasesThatCannotBeRunAreErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no tests":          {"policies: []", "tests.yaml: holds no tests"},
		"unknown key":       {"tests:\n  - {name: x, fact: {}}", `tests.yaml:2:15: unknown key "fact" in tests[0]; did you mean "facts"?`},
		"no name":           {"tests:\n  - {facts: a}", "tests.yaml:2:5: a test has no name"},
		"no decision":       {"tests:\n  - {name: x, facts: a}", `expect.decision is ""; want admit, slim or deny`},
		"no facts":          {"tests:\n  - {name: x, expect: {decision: deny}}", "the test has no facts"},
		"facts not found":   {"tests:\n  - {name: x, facts: a.yaml, expect: {decision: deny}}", "tests.yaml:2:22: reading facts: a.yaml: no such file"},
		"misspelt fact":     {"tests:\n  - {name: x, facts: {reference: ghcr.io/a/b, usr: x}, expect: {decision: deny}}", `unknown key "usr" in tests[0].facts`},
		"reference":         {"tests:\n  - {name: x, facts: {reference: nginx}, expect: {decision: deny}}", `reference "nginx" is not of the form`},
		"kind":              {"tests:\n  - {name: x, facts: {reference: ghcr.io/a/b, kind: chart}, expect: {decision: deny}}", `kind is "chart"`},
		"policy not found":  {"policies: [b.yaml]\ntests:\n  - {name: x, facts: {reference: ghcr.io/a/b}, expect: {decision: deny}}", "reading policies: b.yaml: no such file"},
		"policy is invalid": {"policies: [bad.yaml]\ntests:\n  - {name: x, facts: {reference: ghcr.io/a/b}, expect: {decision: deny}}", "bad.yaml:1:1: apiVersion is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := runCases(t, c.text, map[string]string{"bad.yaml": "kind: Policy"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}
