package policy_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/winnow-registry/winnow/policy"
)

func TestScope(t *testing.T) {
	t.Parallel()
	byDigest := policy.Reference{Upstream: "docker.io", Repository: "library/nginx", Digest: digestA, Index: digestB}
	who := policy.Requester{IP: "192.0.2.1", User: "alice", Agent: "docker/1"}
	plain := load(t, policyText("a", "**", denyRoot))
	if got := plain.Scope(nginx, who); got != "docker.io/library/nginx:1.27" {
		t.Errorf("by tag: %s", got)
	}
	if got := plain.Scope(byDigest, who); got != "docker.io/library/nginx@" {
		t.Errorf("by digest, where the index does not matter: %s", got)
	}
	indexed := load(t, policyText("a", "**", denyRoot), exemptionText("e", "docker.io/library/nginx@"+digestB, "no-root", "2027-01-01T00:00:00Z"))
	if got := indexed.Scope(byDigest, who); got != "docker.io/library/nginx@#"+digestB {
		t.Errorf("by digest, where an exemption names the index: %s", got)
	}
	clients := load(t, policyText("a", "docker.io/**", `{id: r, expression: 'request.client.user == "alice"', action: deny}`))
	alice := clients.Scope(nginx, who)
	elsewhere := who
	elsewhere.IP, elsewhere.Agent = "192.0.2.2", "podman"
	if clients.Scope(nginx, elsewhere) != alice {
		t.Error("what no rule reads is in the scope")
	}
	elsewhere.User = "bob"
	if clients.Scope(nginx, elsewhere) == alice || !strings.HasPrefix(alice, "docker.io/library/nginx:1.27;client=") {
		t.Errorf("another user has the same scope %s", alice)
	}
	other := policy.Reference{Upstream: "ghcr.io", Repository: "a/b", Tag: "1"}
	if got := clients.Scope(other, who); got != "ghcr.io/a/b:1" {
		t.Errorf("the client is in the scope of an image whose rules do not read it: %s", got)
	}
}

// TestWhatIsJudgedAlikeOrHasAnotherScope is the property that a remembered verdict rests on: two pulls of one digest
// with one scope get one verdict.
func TestWhatIsJudgedAlikeOrHasAnotherScope(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.SampledFrom([]string{"**", "docker.io/**", "docker.io/a", "docker.io/a:1", "docker.io/a@" + digestA, "docker.io/a@" + digestB,
			"**/*:1", "docker.io/library/*b", "docker.io/library/a*"})
		expression := rapid.SampledFrom([]string{`request.client.user == "u"`, `request.client.ip == "i"`, `image.tag == "1"`, `image.repository == "library/a"`,
			`request.tag != "2"`, `[request].all(r, r.client.agent == "a")`, "true"})
		set := load(rt, policyText("p", pattern.Draw(rt, "include"), "{id: r, expression: '"+expression.Draw(rt, "e")+"', action: deny}"),
			policyText("q", pattern.Draw(rt, "include"), "{id: s, expression: '"+expression.Draw(rt, "e")+"', action: slim}"),
			exemptionText("e", pattern.Draw(rt, "exempt"), "r", "2027-01-01T00:00:00Z"))
		draw := func(name string) (policy.Contents, policy.Requester) {
			c := rootImage()
			c.Image.Reference = policy.Reference{
				Upstream:   rapid.SampledFrom([]string{"docker.io", "ghcr.io"}).Draw(rt, name+"upstream"),
				Repository: rapid.SampledFrom([]string{"library/a", "library/b"}).Draw(rt, name+"repository"), Digest: digestA,
				Tag:   rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, name+"tag"),
				Index: rapid.SampledFrom([]string{"", digestB}).Draw(rt, name+"index"),
			}
			return c, policy.Requester{User: rapid.SampledFrom([]string{"u", "v"}).Draw(rt, name+"user"),
				IP: rapid.SampledFrom([]string{"i", "j"}).Draw(rt, name+"ip"), Agent: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, name+"agent")}
		}
		c1, w1 := draw("first ")
		c2, w2 := draw("second ")
		v1, err1 := set.Evaluate(t.Context(), c1, w1, noon)
		v2, err2 := set.Evaluate(t.Context(), c2, w2, noon)
		if err1 != nil || err2 != nil {
			rt.Fatal(err1, err2)
		}
		if v1.Scope == v2.Scope && (v1.Decision != v2.Decision || strings.Join(v1.Rules(), " ") != strings.Join(v2.Rules(), " ")) {
			rt.Fatalf("scope %s: %+v and %+v", v1.Scope, v1, v2)
		}
	})
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	child := nginx
	child.Index = digestB
	for _, c := range []struct {
		pattern string
		matches bool
	}{
		{"**", true}, {"docker.io/**", true}, {"*/library/*", true}, {"docker.io/nginx", true}, {"registry-1.docker.io/nginx:1.*", true},
		{"docker.io/library/nginx:1.27", true}, {"docker.io/library/{nginx,redis}", true}, {"docker.io/{nginx,redis}:1.27", true}, {"**/*@" + digestA, true}, {"**/*@" + digestB, true},
		{"docker.io/library/nginx/**", true}, {"docker.io/*", true},
		{"docker.io/library/nginx:1.2", false}, {"docker.io/library/ngin", false}, {"Docker.io/library/nginx", false}, {"ghcr.io/**", false},
		{"*", false}, {"docker.io/*/nginx/*", false}, {"library/nginx", false},
	} {
		set := load(t, policyText("a", c.pattern, denyRoot))
		image := rootImage()
		image.Image.Reference = child
		if got := evaluate(t, set, image).Reason == ""; got != c.matches {
			t.Errorf("%s: matches %v, want %v", c.pattern, got, c.matches)
		}
	}
}

func TestExcludedImageIsLeftToOtherPolicies(t *testing.T) {
	t.Parallel()
	text := strings.Replace(policyText("a", "**", denyRoot), `{include: ["**"]}`, `{include: ["**"], exclude: ["docker.io/nginx:1.*"]}`, 1)
	if v := evaluate(t, load(t, text), rootImage()); v.Reason == "" || v.Decision != policy.Deny {
		t.Errorf("an image that only an exclude mentions is not refused: %+v", v)
	}
	if v := evaluate(t, load(t, text, policyText("b", "**", warnRoot)), rootImage()); v.Decision != policy.Admit {
		t.Errorf("%+v", v)
	}
}

func TestNeedsAndSlims(t *testing.T) {
	t.Parallel()
	ghcr := policy.Reference{Upstream: "ghcr.io", Repository: "a/b", Tag: "1"}
	set := load(t, policyText("a", "docker.io/**", slimRoot)+"  slim: {profile: packages, keep: [/usr/bin/env], user: \"65532:65532\"}\n",
		policyText("b", "ghcr.io/**", "{id: d, use: reference.digest-required, action: deny}"), audit(policyText("c", "ghcr.io/**", "{id: r, use: image.max-layers, action: slim}")))
	if set.Needs(nginx) != policy.StageConfig || set.Needs(ghcr) != policy.StageManifest || load(t).Needs(nginx) != policy.StageManifest {
		t.Errorf("needs %v and %v", set.Needs(nginx), set.Needs(ghcr))
	}
	if !set.Slims(nginx) || set.Slims(ghcr) {
		t.Errorf("slims %v and %v", set.Slims(nginx), set.Slims(ghcr))
	}
	s := set.Slimmings(nginx)
	if len(s) != 1 || s[0].Policy != "a" || s[0].Profile != "packages" || s[0].Layout != "shared" || s[0].Shell != "auto" || s[0].User != "65532:65532" {
		t.Errorf("%+v", s)
	}
}
