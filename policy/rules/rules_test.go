package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/policy/strictyaml"
)

var noon = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

func find(t testing.TB, name string) policy.Builtin {
	t.Helper()
	for _, b := range rules.All() {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("no rule is called %s", name)
	return policy.Builtin{}
}

// judge asks the rule about an image, with parameters in YAML.
func judge(t testing.TB, name, with string, image policy.Image) policy.Outcome {
	t.Helper()
	check, err := find(t, name).Compile(func(into any) error { return strictyaml.Decode("with", []byte(with), into) })
	if err != nil {
		t.Fatal(err)
	}
	return check(policy.Input{Contents: &policy.Contents{Stage: policy.StageConfig, Image: image}, Now: noon})
}

func TestRulesAreDescribed(t *testing.T) {
	t.Parallel()
	last := ""
	for _, b := range rules.All() {
		if b.Name <= last {
			t.Errorf("%s comes after %s", b.Name, last)
		}
		last = b.Name
		if b.Title == "" || b.Doc == "" || len(b.Controls) == 0 || b.Advice == "" || b.Severity == "" || len(b.Kinds) == 0 {
			t.Errorf("%s lacks title, documentation, controls, advice, severity or kinds", b.Name)
		}
	}
}

func TestUserIsRoot(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]bool{
		"": true, " ": true, "0": true, "root": true, "ROOT": true, "0:0": true, "root:root": true, "0:1000": true, ":1000": true,
		"00": true, "+0": true, "-0": true, " 0": true, "000:1": true, "-1": true, "4294967296": true, "18446744073709551616": true,
		"root ": true, "1000": false, "1000:0": false, "65532:65532": false, "app": false, "app:root": false, "rooty": false, "nonroot": false, "0x0": false,
	} {
		out := judge(t, "config.non-root", "", policy.Image{Config: policy.Config{User: user}})
		if got := out.Message != ""; got != want {
			t.Errorf("user %q: root %v, want %v", user, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	const (
		manifest = "application/vnd.oci.image.manifest.v1+json"
		index    = "application/vnd.oci.image.index.v1+json"
		layer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	)
	ref := func(upstream, repository, tag string) policy.Image {
		return policy.Image{Reference: policy.Reference{Upstream: upstream, Repository: repository, Tag: tag}}
	}
	ports := func(p ...string) policy.Image { return policy.Image{Config: policy.Config{ExposedPorts: p}} }
	health := func(test ...string) policy.Image {
		return policy.Image{Config: policy.Config{Healthcheck: &policy.Healthcheck{Test: test}}}
	}
	built := func(at time.Time) policy.Image { return policy.Image{Created: at} }
	labels := func(kv ...string) policy.Image {
		return policy.Image{Config: policy.Config{Labels: map[string]string{kv[0]: kv[1]}}}
	}
	layers := func(l ...policy.Layer) policy.Image {
		return policy.Image{Kind: policy.KindImage, MediaType: manifest, Layers: l}
	}
	artifact := func(kind string) policy.Image {
		return policy.Image{Kind: policy.KindArtifact, MediaType: manifest, ArtifactType: kind}
	}
	for name, c := range map[string]struct {
		rule, with string
		image      policy.Image
		complies   bool
	}{
		"listed upstream":            {"reference.allowed-upstreams", "{allow: [ghcr.io]}", ref("ghcr.io", "a/b", ""), true},
		"other upstream":             {"reference.allowed-upstreams", "{allow: [ghcr.io]}", ref("ghcr.io.evil.example", "a/b", ""), false},
		"allowed repository":         {"reference.allowed-repositories", "{allow: ['docker.io/nginx', 'ghcr.io/a/**']}", ref("docker.io", "library/nginx", "x"), true},
		"repository below":           {"reference.allowed-repositories", "{allow: ['ghcr.io/a/**']}", ref("ghcr.io", "a/b/c", "x"), true},
		"repository beside":          {"reference.allowed-repositories", "{allow: ['ghcr.io/a/**']}", ref("ghcr.io", "ab/c", "x"), false},
		"denied though allowed":      {"reference.allowed-repositories", "{allow: ['**'], deny: ['ghcr.io/a/b']}", ref("ghcr.io", "a/b", "x"), false},
		"latest":                     {"reference.tag-pattern", "", ref("docker.io", "library/nginx", "latest"), false},
		"a version":                  {"reference.tag-pattern", "", ref("docker.io", "library/nginx", "1.27"), true},
		"no tag":                     {"reference.tag-pattern", "{allow: ['v*']}", ref("docker.io", "library/nginx", ""), true},
		"tag not allowed":            {"reference.tag-pattern", "{allow: ['v[0-9]*']}", ref("docker.io", "library/nginx", "vx"), false},
		"tag":                        {"reference.digest-required", "", ref("docker.io", "library/nginx", "1.27"), false},
		"digest":                     {"reference.digest-required", "", ref("docker.io", "library/nginx", ""), true},
		"web port":                   {"config.exposed-ports", "", ports("80/tcp", "443/tcp"), true},
		"SSH port":                   {"config.exposed-ports", "", ports("80/tcp", "22/tcp"), false},
		"SSH port without protocol":  {"config.exposed-ports", "", ports("22"), false},
		"SSH port in a range":        {"config.exposed-ports", "", ports("20-30/tcp"), false},
		"port that is none":          {"config.exposed-ports", "", ports("ssh"), false},
		"denied for udp only":        {"config.exposed-ports", "{deny: [53/udp]}", ports("53/tcp"), true},
		"privileged port":            {"config.exposed-ports", "{deny: [1-1023]}", ports("443/tcp"), false},
		"port beside the allowed":    {"config.exposed-ports", "{allow: [8080]}", ports("8081/tcp"), false},
		"range beyond the allowed":   {"config.exposed-ports", "{allow: [8080-8090]}", ports("8085-8095/tcp"), false},
		"no health check":            {"config.healthcheck", "", policy.Image{}, false},
		"health check NONE":          {"config.healthcheck", "", health("NONE"), false},
		"empty health check":         {"config.healthcheck", "", health(), false},
		"health check":               {"config.healthcheck", "", health("CMD", "/x"), true},
		"label":                      {"config.required-labels", "{names: [a]}", labels("a", "b"), true},
		"empty label":                {"config.required-labels", "{names: [a]}", labels("a", " "), false},
		"label in other capitals":    {"config.required-labels", "{names: [a]}", labels("A", "b"), false},
		"label that matches":         {"config.required-labels", "{match: {a: 'b+'}}", labels("a", "bb"), true},
		"label that matches in part": {"config.required-labels", "{match: {a: 'b+'}}", labels("a", "bbc"), false},
		"alternative not anchored":   {"config.required-labels", "{match: {a: 'b|c'}}", labels("a", "bx"), false},
		"annotation":                 {"manifest.required-annotations", "{names: [a]}", policy.Image{Annotations: map[string]string{"a": "b"}}, true},
		"no annotation":              {"manifest.required-annotations", "{names: [a]}", policy.Image{}, false},
		"never seen":                 {"image.min-age", "{days: 1}", policy.Image{}, false},
		"seen just now":              {"image.min-age", "{days: 1}", policy.Image{FirstSeen: noon}, false},
		"seen exactly a day ago":     {"image.min-age", "{days: 1}", policy.Image{FirstSeen: noon.AddDate(0, 0, -1)}, true},
		"seen half a day ago":        {"image.min-age", "{days: 0.5}", policy.Image{FirstSeen: noon.Add(-12 * time.Hour)}, true},
		"old build, claimed":         {"image.min-age", "{days: 1}", policy.Image{Created: noon.AddDate(-1, 0, 0), FirstSeen: noon}, false},
		"built lately":               {"image.max-age", "{days: 30}", built(noon.AddDate(0, 0, -29)), true},
		"built long ago":             {"image.max-age", "{days: 30}", built(noon.AddDate(0, 0, -30)), false},
		"built nobody knows when":    {"image.max-age", "{days: 30}", built(time.Time{}), false},
		"built at the epoch":         {"image.max-age", "{days: 30}", built(time.Unix(0, 0)), false},
		"built at the epoch, fine":   {"image.max-age", "{days: 30, allowUnknown: true}", built(time.Unix(0, 0)), true},
		"built tomorrow":             {"image.max-age", "{days: 30}", built(noon.AddDate(0, 0, 2)), false},
		"few layers":                 {"image.max-layers", "{max: 2}", layers(policy.Layer{}, policy.Layer{}), true},
		"too many layers":            {"image.max-layers", "{max: 2}", layers(policy.Layer{}, policy.Layer{}, policy.Layer{}), false},
		"small":                      {"image.max-size", "{max: 1MiB}", policy.Image{Size: 1 << 20}, true},
		"too large":                  {"image.max-size", "{max: 1MiB}", policy.Image{Size: 1<<20 + 1}, false},
		"size in decimal units":      {"image.max-size", "{max: 1.5MB}", policy.Image{Size: 1500001}, false},
		"size as a number":           {"image.max-size", "{max: 1000}", policy.Image{Size: 1000}, true},
		"size that overflowed":       {"image.max-size", "{max: 1MiB}", policy.Image{Size: -1}, false},
		"listed platform":            {"image.platforms", "{allow: [linux/arm]}", policy.Image{Platform: policy.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}}, true},
		"other variant":              {"image.platforms", "{allow: [linux/arm/v8]}", policy.Image{Platform: policy.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}}, false},
		"no variant":                 {"image.platforms", "{allow: [linux/arm/v8]}", policy.Image{Platform: policy.Platform{OS: "linux", Architecture: "arm"}}, false},
		"unknown platform":           {"image.platforms", "{allow: [linux/arm]}", policy.Image{}, false},
		"index with one of ours": {"image.platforms", "{allow: [linux/arm]}", policy.Image{Kind: policy.KindIndex,
			Children: []policy.Child{{Platform: policy.Platform{OS: "x"}}, {Platform: policy.Platform{OS: "linux", Architecture: "arm"}}}}, true},
		"index with none of ours": {"image.platforms", "{allow: [linux/arm]}", policy.Image{Kind: policy.KindIndex, Children: []policy.Child{{}}}, false},
		"own layer":               {"manifest.foreign-layers", "", layers(policy.Layer{MediaType: layer}), true},
		"layer with an address":   {"manifest.foreign-layers", "", layers(policy.Layer{MediaType: layer, URLs: []string{"http://169.254.169.254/"}}), false},
		"nondistributable layer":  {"manifest.foreign-layers", "", layers(policy.Layer{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}), false},
		"allowed address":         {"manifest.foreign-layers", "{allowHosts: [a.example]}", layers(policy.Layer{MediaType: layer, URLs: []string{"https://a.example/x"}}), true},
		"allowed host, no TLS":    {"manifest.foreign-layers", "{allowHosts: [a.example]}", layers(policy.Layer{URLs: []string{"http://a.example/x"}}), false},
		"allowed host as user":    {"manifest.foreign-layers", "{allowHosts: [a.example]}", layers(policy.Layer{URLs: []string{"https://a.example@b.example/x"}}), false},
		"one address of two":      {"manifest.foreign-layers", "{allowHosts: [a.example]}", layers(policy.Layer{URLs: []string{"https://a.example/x", "https://b.example/x"}}), false},
		"known types":             {"manifest.media-types", "", layers(policy.Layer{MediaType: layer}), true},
		"foreign type, not ours":  {"manifest.media-types", "", layers(policy.Layer{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}), true},
		"encrypted layer":         {"manifest.media-types", "", layers(policy.Layer{MediaType: layer + "+encrypted"}), false},
		"attestation as an image": {"manifest.media-types", "", layers(policy.Layer{MediaType: "application/vnd.in-toto+json"}, policy.Layer{MediaType: "application/vnd.in-toto+json"}), true},
		"signature as an image":   {"manifest.media-types", "", layers(policy.Layer{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json"}), true},
		"attestation among tars":  {"manifest.media-types", "", layers(policy.Layer{MediaType: layer}, policy.Layer{MediaType: "application/vnd.in-toto+json"}), false},
		"unknown layer":           {"manifest.media-types", "", layers(policy.Layer{MediaType: "application/x"}), false},
		"unknown layer, listed":   {"manifest.media-types", "{layers: [application/x]}", layers(policy.Layer{MediaType: "application/x"}), true},
		"unknown manifest":        {"manifest.media-types", "", policy.Image{MediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws"}, false},
		"index of images":         {"manifest.media-types", "", policy.Image{Kind: policy.KindIndex, MediaType: index, Children: []policy.Child{{MediaType: manifest}, {MediaType: index}}}, true},
		"index of unknown things": {"manifest.media-types", "", policy.Image{Kind: policy.KindIndex, MediaType: index, Children: []policy.Child{{MediaType: "x/y"}}}, false},
		"signature":               {"manifest.media-types", "", artifact("application/vnd.dev.sigstore.bundle.v0.3+json"), true},
		"notation signature":      {"manifest.media-types", "", artifact("application/vnd.cncf.notary.signature"), true},
		"SBOM":                    {"manifest.media-types", "", artifact("application/spdx+json"), true},
		"attestation":             {"manifest.media-types", "", artifact("application/vnd.in-toto+json"), true},
		"chart":                   {"manifest.media-types", "", artifact("application/vnd.cncf.helm.config.v1+json"), true},
		"WebAssembly":             {"manifest.media-types", "", artifact("application/vnd.wasm.config.v0+json"), false},
		"artifact without type":   {"manifest.media-types", "{artifacts: ['*/*']}", artifact(""), false},
		"listed artifact":         {"manifest.media-types", "{artifacts: ['application/vnd.wasm.*']}", artifact("application/vnd.wasm.config.v0+json"), true},
		"list replaces default":   {"manifest.media-types", "{artifacts: ['application/vnd.wasm.*']}", artifact("application/spdx+json"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := judge(t, c.rule, c.with, c.image)
			if got := out.Message == ""; got != c.complies {
				t.Errorf("complies %v, want %v: %+v", got, c.complies, out)
			}
			if strings.ContainsAny(out.Message, "\n\x00") {
				t.Errorf("message %q is not one line", out.Message)
			}
		})
	}
}

func TestParametersThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for rule, withs := range map[string][]string{
		"reference.allowed-upstreams":    {"", "{allow: []}", "{allow: docker.io}"},
		"reference.allowed-repositories": {"", "{allow: ['[']}", "{deny: ['a**']}"},
		"reference.tag-pattern":          {"{deny: ['[']}", "{allow: ['']}"},
		"config.exposed-ports":           {"{deny: [ssh]}", "{deny: [9-1]}", "{deny: [70000]}", "{deny: [1/icmp]}"},
		"config.required-labels":         {"", "{names: ['']}", "{match: {a: '('}}"},
		"manifest.required-annotations":  {"", "{match: {a: '(?!x)'}}"},
		"image.min-age":                  {"", "{days: -1}", "{days: 99999999}", "{days: .nan}", "{days: .inf}"},
		"image.max-age":                  {"", "{days: 0}"},
		"image.max-layers":               {"{max: 0}", "{max: 1.5}"},
		"image.max-size":                 {"", "{max: 0}", "{max: -5}", "{max: 99999999999TiB}", "{max: 5 parsec}"},
		"image.platforms":                {"", "{allow: [amd64]}", "{allow: [linux/AMD64]}"},
		"manifest.foreign-layers":        {"{allowHosts: ['*']}", "{allowHosts: ['https://a']}"},
		"manifest.media-types":           {"{artifacts: ['[']}", "{layers: ['']}"},
		"config.secrets":                 {"{allow: ['[']}", "{forms: {x: '('}}", "{forms: {x: '.*'}}", "{allowForms: [nothing]}"},
	} {
		for _, with := range withs {
			_, err := find(t, rule).Compile(func(into any) error { return strictyaml.Decode("with", []byte(with), into) })
			if err == nil {
				t.Errorf("%s takes %s", rule, with)
			}
		}
	}
}
