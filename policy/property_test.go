package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

var strictness = map[policy.Decision]int{policy.Admit: 0, policy.Slim: 1, policy.Deny: 2}

func drawRule(rt *rapid.T, id string) string {
	body := rapid.SampledFrom([]string{"use: config.non-root", "use: config.healthcheck", "use: image.max-layers, with: {max: 1}", "expression: 'true'",
		"expression: 'false'", `expression: '"x" in image.config.labels'`, `expression: 'image.tag == "1.27"'`}).Draw(rt, id)
	action := rapid.SampledFrom([]string{"warn", "slim", "deny"}).Draw(rt, id+" action")
	return "{id: " + id + ", " + body + ", action: " + action + "}"
}

func TestAddingARuleNeverLoosens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var list []string
		for _, id := range []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(rt, "rules")] {
			list = append(list, drawRule(rt, id))
		}
		before := evaluateRapid(rt, t, policyText("p", "**", list...))
		for _, texts := range [][]string{
			{policyText("p", "**", append(list, drawRule(rt, "z"))...)},
			{policyText("p", "**", list...), policyText("q", "**", drawRule(rt, "y"))},
		} {
			if after := evaluateRapid(rt, t, texts...); strictness[after.Decision] < strictness[before.Decision] {
				rt.Fatalf("%s became %s", before.Decision, after.Decision)
			}
		}
	})
}

func evaluateRapid(rt *rapid.T, t *testing.T, texts ...string) *policy.Verdict {
	v, err := load(rt, texts...).Evaluate(t.Context(), rootImage(), policy.Requester{}, noon)
	if err != nil {
		rt.Fatal(err)
	}
	return v
}

func TestExpiredExemptionNeverMatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		expires := noon.Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(rt, "seconds")) * time.Second)
		set := load(rt, policyText("p", "**", denyRoot), exemptionText("e", "**", "no-root", expires.Format(time.RFC3339)))
		v, err := set.Evaluate(t.Context(), rootImage(), policy.Requester{}, noon)
		if err != nil {
			rt.Fatal(err)
		}
		if want := noon.Before(expires); (v.Decision == policy.Admit) != want {
			rt.Fatalf("expires %s: %s", expires, v.Decision)
		}
	})
}

func TestOrderOfFilesIsOfNoAccount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		texts := []string{policyText("p", "**", drawRule(rt, "a"), drawRule(rt, "b")), policyText("q", "docker.io/**", drawRule(rt, "a")),
			exemptionText("e", "**", "a", "2027-01-01T00:00:00Z"), exemptionText("f", "**", "a", "2027-01-01T00:00:00Z")}
		first := evaluateRapid(rt, t, texts...)
		second := evaluateRapid(rt, t, rapid.Permutation(texts).Draw(rt, "order")...)
		same := func(a, b policy.Violation) bool {
			return a.Rule == b.Rule && a.Policy == b.Policy && a.Exemption == b.Exemption
		}
		if first.Revision != second.Revision || first.Decision != second.Decision || !slices.EqualFunc(first.Violations, second.Violations, same) {
			rt.Fatalf("%+v and %+v", first, second)
		}
	})
}

// FuzzPolicyParse loads any text beside a policy that refuses everything: whatever it is, the image stays refused unless
// an exemption in it says otherwise, and an error leaves no set to decide with.
func FuzzPolicyParse(f *testing.F) {
	samples, err := filepath.Glob("../configs/policies/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("../configs/policies/*.yaml")
	if err != nil || len(more) == 0 {
		f.Fatal("no samples", err)
	}
	for _, file := range append(samples, more...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(policyText("x", "**", warnRoot) + "  slim: {keep: [/a]}\n---\n" + exemptionText("e", "**", "never", "2027-01-01T00:00:00Z")))
	builtins := rules.All()
	deny := policy.File{Name: "deny.yaml", Data: []byte(policyText("deny-all", "**", "{id: never, expression: 'false', action: deny}"))}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := policy.Load([]policy.File{deny, {Name: "fuzz.yaml", Data: data}}, builtins)
		if err != nil {
			if set != nil {
				t.Fatal("a set beside an error")
			}
			return
		}
		v, err := set.Evaluate(t.Context(), rootImage(), policy.Requester{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if v.Decision != policy.Deny && len(v.Exemptions()) == 0 {
			t.Fatalf("%s without an exemption", v.Decision)
		}
	})
}

// BenchmarkEvaluate judges an image by ten rules, four of them expressions.
func BenchmarkEvaluate(b *testing.B) {
	set := load(b, policyText("p", "**", denyRoot, "{id: s, use: config.secrets, action: deny}", "{id: p, use: config.exposed-ports, action: warn}",
		"{id: m, use: manifest.media-types, action: deny}", "{id: f, use: manifest.foreign-layers, action: deny}", "{id: t, use: reference.tag-pattern, action: warn}",
		`{id: e1, expression: '"org.opencontainers.image.source" in image.config.labels', action: warn}`,
		`{id: e2, expression: 'image.layers.all(l, l.size < 1000000000)', action: deny}`,
		`{id: e3, expression: 'image.config.env.exists(e, e.startsWith("PATH="))', action: deny}`,
		`{id: e4, expression: 'image.repository.startsWith("library/") || request.client.user != ""', action: deny}`))
	c := rootImage()
	for range 10 {
		c.Image.Layers = append(c.Image.Layers, c.Image.Layers[0])
		c.Image.Config.Env = append(c.Image.Config.Env, "SOME_VARIABLE=some value of ordinary length")
		c.Image.History = append(c.Image.History, policy.History{CreatedBy: "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends ca-certificates # buildkit"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Evaluate(b.Context(), c, policy.Requester{}, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScope is what every request pays before it finds its verdict.
func BenchmarkScope(b *testing.B) {
	set := load(b, policyText("p", "**", denyRoot))
	b.ReportAllocs()
	for b.Loop() {
		set.Scope(nginx, policy.Requester{})
	}
}
