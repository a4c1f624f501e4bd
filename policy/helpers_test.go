package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

var noon = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

var nginx = policy.Reference{Upstream: "docker.io", Repository: "library/nginx", Tag: "1.27", Digest: digestA}

// rootImage is an ordinary image that runs as root.
func rootImage() policy.Contents {
	return policy.Contents{Stage: policy.StageConfig, Image: policy.Image{
		Reference: nginx, Kind: policy.KindImage, MediaType: "application/vnd.oci.image.manifest.v1+json",
		Platform: policy.Platform{OS: "linux", Architecture: "amd64"}, Created: noon.AddDate(0, -1, 0), FirstSeen: noon.AddDate(0, 0, -2),
		Layers: []policy.Layer{{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digestB, Size: 1000}}, Size: 1200,
		Config: policy.Config{Labels: map[string]string{"a": "b"}, Env: []string{"PATH=/bin"}},
	}}
}

// policyText is a policy named name for the images that include lists, with rules, one flow mapping each.
func policyText(name, include string, rules ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: winnow/v1\nkind: Policy\nmetadata: {name: %s}\nspec:\n  images: {include: [%q]}\n  rules:\n", name, include)
	for _, r := range rules {
		fmt.Fprintf(&b, "    - %s\n", r)
	}
	return b.String()
}

// exemptionText exempts images from rules until expires.
func exemptionText(name, image, rule, expires string) string {
	return fmt.Sprintf("apiVersion: winnow/v1\nkind: Exemption\nmetadata: {name: %s}\nspec:\n  images: [%q]\n  rules: [%s]\n"+
		"  reason: because\n  approvedBy: alice\n  expires: %s\n", name, image, rule, expires)
}

func files(texts ...string) []policy.File {
	var out []policy.File
	for i, text := range texts {
		out = append(out, policy.File{Name: fmt.Sprintf("%d.yaml", i+1), Data: []byte(text)})
	}
	return out
}

func load(t tb, texts ...string) *policy.Set {
	t.Helper()
	set, err := policy.Load(files(texts...), rules.All())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func evaluate(t testing.TB, set *policy.Set, c policy.Contents) *policy.Verdict {
	t.Helper()
	v, err := set.Evaluate(t.Context(), c, policy.Requester{IP: "192.0.2.1"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	denyRoot = "{id: no-root, use: config.non-root, action: deny}"
	slimRoot = "{id: no-root, use: config.non-root, action: slim}"
	warnRoot = "{id: no-root, use: config.non-root, action: warn}"
)

// tb is what testing.TB and rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
}
