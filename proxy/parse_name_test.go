package proxy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/proxy/admission"
)

func TestNamesParse(t *testing.T) {
	t.Parallel()
	names := NewNames([]string{"docker.io", "ghcr.io", "registry.corp:5443"}, "docker.io")
	digest := "sha256:" + strings.Repeat("a1", 32)
	for _, tt := range []struct {
		name, in string
		want     admission.Reference
	}{
		{"bare name", "nginx", admission.Reference{Upstream: "docker.io", Repository: "library/nginx", Tag: "latest"}},
		{"tag", "nginx:1.27", admission.Reference{Upstream: "docker.io", Repository: "library/nginx", Tag: "1.27"}},
		{"other name of Docker Hub", "index.docker.io/nginx:1", admission.Reference{Upstream: "docker.io", Repository: "library/nginx", Tag: "1"}},
		{"organisation", "grafana/loki:3", admission.Reference{Upstream: "docker.io", Repository: "grafana/loki", Tag: "3"}},
		{"upstream with port", "registry.corp:5443/a/b", admission.Reference{Upstream: "registry.corp:5443", Repository: "a/b", Tag: "latest"}},
		{"digest", "ghcr.io/a/b@" + digest, admission.Reference{Upstream: "ghcr.io", Repository: "a/b", Digest: digest}},
		{"tag and digest", "ghcr.io/a/b:1@" + digest, admission.Reference{Upstream: "ghcr.io", Repository: "a/b", Digest: digest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := names.Parse(tt.in)
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestNamesParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, fallback, in, want string }{
		{"unconfigured registry", "docker.io", "127.0.0.1:5000/app:1", `upstreams: {"127.0.0.1:5000": {url: http://127.0.0.1:5000, private: true}}`},
		{"unconfigured public registry", "docker.io", "quay.io/a/b", `upstreams: {"quay.io": {}}`},
		{"localhost", "docker.io", "localhost/app", "localhost is not among upstreams"},
		{"no default", "", "nginx", "defaultUpstream is empty"},
		{"upper case", "docker.io", "Grafana/Loki", "lower case"},
		{"short digest", "docker.io", "nginx@sha256:12", "the digest is not sha256:"},
		{"another algorithm", "docker.io", "nginx@sha512:" + strings.Repeat("a", 128), "only sha256"},
		{"empty", "docker.io", "", "not a valid repository name"},
		{"empty tag", "docker.io", "nginx:", `the tag ""`},
		{"way out", "docker.io", "a/../b", "not a valid repository name"},
		{"scheme", "docker.io", "https://ghcr.io/a", "without a scheme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := NewNames([]string{"docker.io"}, tt.fallback).Parse(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%q): %v, want an error with %q", tt.in, err, tt.want)
			}
		})
	}
}
