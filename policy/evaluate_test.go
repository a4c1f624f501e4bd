package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	const (
		fails  = "{id: never, expression: 'false', action: deny}"
		passes = "{id: always, expression: 'true', action: deny}"
	)
	for name, c := range map[string]struct {
		texts    []string
		decision policy.Decision
		wouldBe  policy.Decision
		rules    []string
		reason   string
	}{
		"nothing is loaded":             {nil, policy.Deny, "", nil, "is not included by any policy"},
		"no policy includes the image":  {[]string{policyText("a", "ghcr.io/**", passes)}, policy.Deny, "", nil, "is not included by any policy"},
		"a policy without rules":        {[]string{policyText("a", "**")}, policy.Deny, "", nil, "is included by no policy that has a rule"},
		"no rule is broken":             {[]string{policyText("a", "**", passes)}, policy.Admit, "", nil, ""},
		"warn never changes the answer": {[]string{policyText("a", "**", warnRoot)}, policy.Admit, "", []string{"no-root"}, ""},
		"slim":                          {[]string{policyText("a", "**", warnRoot), policyText("b", "**", slimRoot)}, policy.Slim, "", []string{"no-root"}, ""},
		"deny is stricter than slim":    {[]string{policyText("a", "**", fails, slimRoot)}, policy.Deny, "", []string{"never", "no-root"}, ""},
		"the strictest policy wins":     {[]string{policyText("a", "**", warnRoot), policyText("b", "docker.io/**", denyRoot)}, policy.Deny, "", []string{"no-root"}, ""},
		"all violations are reported":   {[]string{policyText("a", "**", fails, passes, denyRoot), policyText("b", "**", "{id: health, use: config.healthcheck, action: warn}")}, policy.Deny, "", []string{"never", "no-root", "health"}, ""},
		"audit mode has no effect":      {[]string{audit(policyText("a", "**", denyRoot))}, policy.Admit, policy.Deny, []string{"no-root"}, ""},
		"audit beside enforce":          {[]string{audit(policyText("a", "**", denyRoot)), policyText("b", "**", slimRoot)}, policy.Slim, policy.Deny, []string{"no-root"}, ""},
		"audit that changes nothing":    {[]string{audit(policyText("a", "**", denyRoot)), policyText("b", "**", fails)}, policy.Deny, "", []string{"no-root", "never"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := evaluate(t, load(t, c.texts...), rootImage())
			got := []any{v.Decision, v.WouldBe, v.Rules(), v.Reason, v.Partial}
			if diff := cmp.Diff([]any{c.decision, c.wouldBe, c.rules, c.reason, false}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func audit(text string) string { return strings.Replace(text, "spec:\n", "spec:\n  mode: audit\n", 1) }

func TestVerdictSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	set := load(t, policyText("a", "**", denyRoot), policyText("b", "docker.io/**", warnRoot))
	v := evaluate(t, set, rootImage())
	want := &policy.Verdict{
		Digest: digestA, Scope: "docker.io/library/nginx:1.27", Revision: set.Revision(),
		Reference: "docker.io/library/nginx:1.27@" + digestA, MediaType: "application/vnd.oci.image.manifest.v1+json",
		Decision: policy.Deny, Policies: []string{"a", "b"}, Decided: noon,
		Violations: []policy.Violation{
			{Rule: "no-root", Policy: "a", Use: "config.non-root", Action: policy.ActionDeny, Severity: policy.SeverityHigh, Message: "runs as root"},
			{Rule: "no-root", Policy: "b", Use: "config.non-root", Action: policy.ActionWarn, Severity: policy.SeverityHigh, Message: "runs as root"},
		},
	}
	for i := range v.Violations {
		x := &v.Violations[i]
		if len(x.Evidence) == 0 || len(x.Controls) == 0 || x.Advice == "" {
			t.Errorf("evidence, controls or advice is missing: %+v", x)
		}
		x.Evidence, x.Controls, x.Advice = nil, nil, ""
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}

func TestRuleThatCannotBeJudgedDoesNotAdmit(t *testing.T) {
	t.Parallel()
	for name, expression := range map[string]string{
		"a missing key":                          `image.config.labels["x"] == "y"`,
		"an index out of range":                  `image.config.entrypoint[3] == "x"`,
		"a division by zero":                     `1 / (image.size - image.size) == 0`,
		"more work than is allowed":              `lists.range(2000).all(a, lists.range(2000).all(b, a + b >= 0))`,
		"a broken pattern":                       `image.tag.matches("(" + image.tag)`,
		"a time that is not there":               `now - image.created > duration("1h")`,
		"a health check that is not":             `!("NONE" in image.config.healthcheck.test)`,
		"an absent field under a has of another": `has(image.firstSeen) && now > image.created`,
	} {
		for action, want := range map[policy.Action]policy.Decision{
			policy.ActionDeny: policy.Deny, policy.ActionSlim: policy.Deny, policy.ActionWarn: policy.Admit,
		} {
			t.Run(name+"/"+string(action), func(t *testing.T) {
				t.Parallel()
				c := rootImage()
				c.Image.Created = time.Time{}
				set := load(t, policyText("a", "**", "{id: r, expression: '"+expression+"', action: "+string(action)+"}"))
				v := evaluate(t, set, c)
				if v.Decision != want || len(v.Violations) != 1 || !strings.HasPrefix(v.Violations[0].Message, "could not be judged: ") {
					t.Errorf("decision %s, violations %+v", v.Decision, v.Violations)
				}
			})
		}
	}
}

func TestExpressionThatAsksFirstIsJudged(t *testing.T) {
	t.Parallel()
	c := rootImage()
	c.Image.Created = time.Time{}
	set := load(t, policyText("a", "**",
		`{id: a, expression: '!has(image.created) || now - image.created > duration("1h")', action: deny}`,
		`{id: b, expression: 'has(image.config.healthcheck) ? !("NONE" in image.config.healthcheck.test) : true', action: deny}`,
		`{id: c, expression: '!("x" in image.annotations) && image.config.labels.size() == 1 && image.history == []', action: deny}`))
	if v := evaluate(t, set, c); v.Decision != policy.Admit {
		t.Errorf("%+v", v.Violations)
	}
}

func TestPanickingRuleDoesNotAdmit(t *testing.T) {
	t.Parallel()
	broken := policy.Builtin{
		Name: "test.panics", Severity: policy.SeverityLow, Stage: policy.StageManifest, Kinds: []policy.Kind{policy.KindImage},
		Compile: func(func(any) error) (policy.Check, error) {
			return func(policy.Input) policy.Outcome { panic("oops") }, nil
		},
	}
	set, err := policy.Load(files(policyText("a", "**", "{id: p, use: test.panics, action: slim}")), []policy.Builtin{broken})
	if err != nil {
		t.Fatal(err)
	}
	if v := evaluate(t, set, rootImage()); v.Decision != policy.Deny || !strings.Contains(v.Violations[0].Message, "oops") {
		t.Errorf("%+v", v)
	}
}

func TestEvaluateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	set := load(t, policyText("a", "**", "{id: r, expression: 'lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))', action: warn}"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := set.Evaluate(ctx, rootImage(), policy.Requester{}, noon); v != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestVerdictBeforeAllIsKnownIsNoAdmission(t *testing.T) {
	t.Parallel()
	set := load(t, policyText("a", "**", denyRoot, "{id: latest, use: reference.digest-required, action: deny}"))
	early := rootImage()
	early.Stage, early.Image.Reference.Tag = policy.StageManifest, ""
	v := evaluate(t, set, early)
	if !v.Partial || v.Decision != policy.Admit || v.Holds(v.Revision, "", "", noon) {
		t.Errorf("manifest only: %+v holds %v", v, v.Holds(v.Revision, "", "", noon))
	}
	early.Image.Reference.Tag = "1.27"
	if v := evaluate(t, set, early); v.Decision != policy.Deny || !v.Holds(v.Revision, "", "", noon) {
		t.Errorf("a refusal that nothing can change does not stand: %+v", v)
	}
	early.Stage, early.Image.Kind = policy.StageReference, ""
	early.Image.Reference.Tag = ""
	if v := evaluate(t, load(t, policyText("a", "**", "{id: x, expression: 'true', action: deny}")), early); !v.Partial {
		t.Error("a verdict without the manifest is taken for whole")
	}
}

func TestRulesAboutConfigurationLeaveIndexesAndArtifactsAlone(t *testing.T) {
	t.Parallel()
	set := load(t, policyText("a", "**", denyRoot,
		`{id: label, expression: '"a" in image.config.labels', action: deny}`,
		`{id: layers, expression: 'image.layers.size() > 0', action: deny}`,
		`{id: repository, expression: 'image.repository == "library/nginx"', action: deny}`,
		`{id: every-kind, expression: 'image.kind != "artifact" || image.layers.size() > 0', action: deny}`))
	for kind, want := range map[policy.Kind][]string{
		policy.KindIndex:    {"repository"},
		policy.KindArtifact: {"repository", "every-kind"},
		policy.KindImage:    {"no-root", "label", "layers", "repository"},
	} {
		c := policy.Contents{Stage: policy.StageConfig, Image: policy.Image{Kind: kind, Reference: nginx}}
		c.Image.Reference.Repository = "library/redis"
		if kind != policy.KindImage {
			c.Stage = policy.StageManifest
		}
		v := evaluate(t, set, c)
		if diff := cmp.Diff(want, v.Rules()); diff != "" || v.Partial {
			t.Errorf("%s: partial %v, rules %s", kind, v.Partial, diff)
		}
	}
}

func TestVerdictEndsWhenTimeAloneMayChangeIt(t *testing.T) {
	t.Parallel()
	c := rootImage() // built a month ago, first seen two days ago
	for name, tc := range map[string]struct {
		texts []string
		want  time.Time
	}{
		"nothing reads the clock":      {[]string{policyText("a", "**", denyRoot)}, time.Time{}},
		"not old enough yet":           {[]string{policyText("a", "**", "{id: a, use: image.min-age, with: {days: 3}, action: deny}")}, noon.AddDate(0, 0, 1)},
		"old enough for ever":          {[]string{policyText("a", "**", "{id: a, use: image.min-age, with: {days: 1}, action: deny}")}, time.Time{}},
		"still young enough":           {[]string{policyText("a", "**", "{id: a, use: image.max-age, with: {days: 365}, action: deny}")}, c.Image.Created.AddDate(1, 0, 0)},
		"too old for ever":             {[]string{policyText("a", "**", "{id: a, use: image.max-age, with: {days: 3}, action: deny}")}, time.Time{}},
		"an expression with the clock": {[]string{policyText("a", "**", `{id: a, expression: 'now < timestamp("2030-01-01T00:00:00Z")', action: deny}`)}, noon.Add(time.Hour)},
		"the sooner of two":            {[]string{policyText("a", "**", "{id: a, use: image.min-age, with: {days: 3}, action: deny}", `{id: b, expression: 'now > image.firstSeen', action: deny}`)}, noon.Add(time.Hour)},
		"an exemption that is used":    {[]string{policyText("a", "**", denyRoot), exemptionText("e", "**", "no-root", "2026-07-01T00:00:00Z")}, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)},
		"an exemption that is not":     {[]string{policyText("a", "**", denyRoot), exemptionText("e", "**", "other", "2026-07-01T00:00:00Z")}, time.Time{}},
		"the longer of two exemptions": {[]string{policyText("a", "**", denyRoot), exemptionText("e", "**", "no-root", "2026-07-01T00:00:00Z"), exemptionText("f", "**", "no-root", "2026-08-01T00:00:00Z")}, time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := evaluate(t, load(t, tc.texts...), c).ValidUntil; !got.Equal(tc.want) {
				t.Errorf("valid until %s, want %s", got, tc.want)
			}
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	t.Parallel()
	c := rootImage()
	for range 500 {
		c.Image.Config.Env = append(c.Image.Config.Env, "PASSWORD_"+strings.Repeat("A", 5000)+"=hunter22")
	}
	set, err := policy.Load(files(policyText("a", "**", "{id: s, use: config.secrets, action: deny}")), rules.All())
	if err != nil {
		t.Fatal(err)
	}
	v := evaluate(t, set, c)
	size := 0
	for _, e := range v.Violations[0].Evidence {
		size += len(e)
	}
	if size > 20<<10 {
		t.Errorf("the evidence of one violation has %d bytes", size)
	}
}
