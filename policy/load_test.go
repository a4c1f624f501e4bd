package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

func TestLoadSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"another apiVersion":       {"apiVersion: v2\nkind: Policy\n", `1.yaml:1:13: apiVersion is "v2"; want winnow/v1`},
		"another kind":             {"apiVersion: winnow/v1\nkind: Polcy\n", `1.yaml:2:7: kind is "Polcy"; want Policy or Exemption`},
		"unknown key":              {"apiVersion: winnow/v1\nkind: Policy\nspecs: {}\n", `1.yaml:3:1: unknown key "specs"; did you mean "spec"?`},
		"duplicate key":            {"apiVersion: winnow/v1\nkind: Policy\nkind: Policy\n", `1.yaml:3:1: key "kind" is given twice`},
		"no images":                {strings.Replace(policyText("x", "**", denyRoot), `{include: ["**"]}`, "{}", 1), `1.yaml:5:11: spec.images.include is missing`},
		"unknown mode":             {strings.Replace(policyText("x", "**", denyRoot), "spec:\n", "spec:\n  mode: enforced\n", 1), `1.yaml:5:9: mode is "enforced"; want enforce or audit; did you mean "enforce"?`},
		"broken pattern":           {policyText("x", "docker.io/[a", denyRoot), `1.yaml:5:22: "docker.io/[a" is not a valid pattern`},
		"half a double star":       {policyText("x", "**:latest", denyRoot), `1.yaml:5:22: "**:latest": ** must stand alone between slashes`},
		"bad name":                 {policyText("'a b'", "**", denyRoot), `1.yaml:3:18: metadata.name is "a b"`},
		"unknown built-in":         {policyText("x", "**", "{id: a, use: config.nonroot, action: deny}"), `1.yaml:7:20: no built-in rule is called "config.nonroot"; did you mean "config.non-root"?`},
		"a rule of the next issue": {policyText("x", "**", "{id: a, use: vulnerabilities.max, action: deny}"), `no built-in rule is called "vulnerabilities.max"`},
		"duplicate rule":           {policyText("x", "**", denyRoot, denyRoot), `1.yaml:8:12: rule "no-root" is defined twice; the first is on line 7`},
		"no action":                {policyText("x", "**", "{id: a, use: config.non-root}"), `1.yaml:7:7: action is missing; want warn, slim, deny`},
		"both use and expression":  {policyText("x", "**", "{id: a, use: config.non-root, expression: 'true', action: deny}"), `rule "a" needs exactly one of use`},
		"unknown parameter":        {policyText("x", "**", "{id: a, use: image.max-age, with: {dais: 3}, action: deny}"), `1.yaml:7:42: unknown key "dais" in spec.rules[0].with; did you mean "days"?`},
		"parameter out of range":   {policyText("x", "**", "{id: a, use: image.max-age, with: {days: 0}, action: deny}"), `1.yaml:7:48: image.max-age: days is 0`},
		"list element":             {policyText("x", "**", "{id: a, use: image.platforms, with: {allow: [linux/amd64, arm]}, action: deny}"), `1.yaml:7:65: image.platforms: "arm" is not a platform`},
		"CEL syntax":               {policyText("x", "**", "{id: a, expression: 'image.tag ==', action: deny}"), `1.yaml:7:27: expression at 1:13: Syntax error`},
		"CEL field":                {policyText("x", "**", "{id: a, expression: 'image.config.usr == \"\"', action: deny}"), `1.yaml:7:27: expression at 1:13: undefined field 'usr'`},
		"CEL type":                 {policyText("x", "**", "{id: a, expression: 'image.size', action: deny}"), `1.yaml:7:27: expression: gives int; want true or false`},
		"CEL dynamic type":         {policyText("x", "**", "{id: a, expression: 'dyn(image.size)', action: deny}"), `gives dyn; want true or false`},
		"CEL unknown name":         {policyText("x", "**", "{id: a, expression: 'img.size > 0', action: deny}"), `unknown name "img"; known are image, request and now`},
		"slim profile":             {policyText("x", "**", denyRoot) + "  slim: {profile: stripped}\n", `1.yaml:8:19: profile is "stripped"; want strip, packages; did you mean "strip"?`},
		"slim path":                {policyText("x", "**", denyRoot) + "  slim: {keep: [/bin/sh, env]}\n", `1.yaml:8:26: "env" is not an absolute path`},
		"slim user":                {policyText("x", "**", denyRoot) + "  slim: {user: app}\n", `1.yaml:8:16: user is "app"; want numbers`},
		"exemption without end":    {strings.Replace(exemptionText("x", "**", "a", "2027-01-01T00:00:00Z"), "  expires: 2027-01-01T00:00:00Z\n", "", 1), `spec.expires is missing: when it ends`},
		"exemption without reason": {strings.Replace(exemptionText("x", "**", "a", "2027-01-01T00:00:00Z"), "because", "' '", 1), `1.yaml:7:11: spec.reason is missing`},
		"exemption without owner":  {strings.Replace(exemptionText("x", "**", "a", "2027-01-01T00:00:00Z"), "approvedBy: alice", "approvedBy: ''", 1), `spec.approvedBy is missing`},
		"exemption for no rule":    {exemptionText("x", "**", "", "2027-01-01T00:00:00Z"), `spec.rules is missing`},
		"expiry that is no time":   {exemptionText("x", "**", "a", "tomorrow"), `1.yaml:9:12: spec.expires: wants a time such as`},
		"expiry without zone":      {exemptionText("x", "**", "a", "2027-01-31"), `1.yaml:9:12: spec.expires: wants a time such as`},
		"message of two lines":     {policyText("x", "**", `{id: a, expression: 'true', message: "a\nb", action: deny}`), `message must be one line`},
		"an alias":                 {policyText("x", "**", "&a "+denyRoot, "*a"), `anchors (&name) are not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := policy.Load(files(c.text), rules.All())
			if err == nil || set != nil {
				t.Fatalf("got a set, error %v", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant …%s…", err, c.want)
			}
		})
	}
}

func TestExpressionsMayNotUseWhatThisVersionCannotFill(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"packages", "vulnerabilities", "files", "secrets", "signatures"} {
		_, err := policy.Load(files(policyText("x", "**", "{id: a, expression: '"+name+".size() == 0', action: deny}")), rules.All())
		if err == nil || !strings.Contains(err.Error(), "`"+name+"` is not available in this version") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// A loop variable of that name is the author's own.
	load(t, policyText("x", "**", "{id: a, expression: 'image.layers.all(files, files.size > 0)', action: deny}"))
}

func TestLoadReportsAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := policy.Load(files(
		policyText("x", "**", "{id: a, use: nope, action: deny}", "{id: b, use: config.non-root, action: maybe}"),
		exemptionText("y", "**", "a", "tomorrow"),
	), rules.All())
	for _, want := range []string{"1.yaml:7", "1.yaml:8", "2.yaml:9"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing from %v", want, err)
		}
	}
}

func TestNamesAreUniqueAcrossFiles(t *testing.T) {
	t.Parallel()
	e := exemptionText("x", "docker.io/**", "no-root", "2027-01-01T00:00:00Z")
	load(t, policyText("x", "**", denyRoot), e) // a policy and an exemption may share one
	_, err := policy.Load(files(policyText("x", "**", denyRoot), policyText("x", "ghcr.io/**", denyRoot)), rules.All())
	if err == nil || !strings.Contains(err.Error(), `2.yaml:3:18: policy "x" is defined twice; the first is in 1.yaml, line 3`) {
		t.Errorf("policies: %v", err)
	}
	_, err = policy.Load(files(e, e), rules.All())
	if err == nil || !strings.Contains(err.Error(), `exemption "x" is defined twice`) {
		t.Errorf("exemptions: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	set := load(t,
		policyText("x", "library/nginx", denyRoot, "{id: old, use: image.max-age, with: {days: 3}, action: slim}"),
		policyText("empty", "**"),
		exemptionText("e", "docker.io/**", "no-rot", "2027-01-01T00:00:00Z"),
	)
	want := []string{
		`1.yaml:5:22: pattern "library/nginx" does not begin with an upstream such as docker.io or **/`,
		"1.yaml:8:62: rule old: slimming cannot mend image.max-age, so that slim refuses as deny does",
		"2.yaml:6:3: policy empty has no rule, and refuses the images that no other policy includes",
		`3.yaml:6:11: exemption e names rule "no-rot", which no policy defines`,
	}
	if diff := cmp.Diff(want, set.Warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestRevisionIsThatOfTheContent(t *testing.T) {
	t.Parallel()
	a, b := policyText("a", "docker.io/**", denyRoot), policyText("b", "ghcr.io/**", warnRoot)
	revision := load(t, a, b).Revision()
	if !strings.HasPrefix(revision, "sha256:") || len(revision) != len(digestA) {
		t.Errorf("revision is %q", revision)
	}
	for name, texts := range map[string][]string{
		"another order": {b, a},
		"one file":      {a + "---\n" + b},
		"comments":      {"# about\n" + a, strings.ReplaceAll(b, "\n", " # x\n")},
	} {
		if got := load(t, texts...).Revision(); got != revision {
			t.Errorf("%s: the revision changed", name)
		}
	}
	for name, texts := range map[string][]string{
		"a rule's action":   {a, strings.Replace(b, "warn", "deny", 1)},
		"a rule's id":       {a, strings.Replace(b, "no-root", "no-roots", 1)},
		"a pattern":         {a, strings.Replace(b, "ghcr.io", "quay.io", 1)},
		"one policy less":   {a},
		"the policy twice":  {a, b, strings.Replace(b, "name: b", "name: c", 1)},
		"an exemption more": {a, b, exemptionText("e", "**", "no-root", "2027-01-01T00:00:00Z")},
	} {
		if got := load(t, texts...).Revision(); got == revision {
			t.Errorf("%s: the revision did not change", name)
		}
	}
	newer := rules.All()
	for i := range newer {
		newer[i].Revision++
	}
	set, err := policy.Load(files(a, b), newer)
	if err != nil {
		t.Fatal(err)
	}
	if set.Revision() == revision {
		t.Error("another revision of a built-in rule: the revision did not change")
	}
}
