package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

// The OCI distribution-spec conformance suite, at the revision whose results are in testdata/conformance.yaml.
const (
	conformanceSuite   = "github.com/opencontainers/distribution-spec/conformance"
	conformanceVersion = "v0.0.0-20260831232431-97274622c111"
)

// warnOnly admits the suite's images, which run as root and hold nothing.
const warnOnly = `apiVersion: winnow/v1
kind: Policy
metadata: {name: warn-only}
spec:
  images: {include: ["**"]}
  rules:
    - {id: no-root, use: config.non-root, action: warn}
`

// TestConformance runs the whole suite through the splitter and compares what passed, by API and by kind of data, with
// the golden list, where each that did not says why it does not apply.
func TestConformance(t *testing.T) {
	t.Parallel()
	suite := testkit.Install(t, conformanceSuite, conformanceVersion)
	upstream := registry.Start(t, registry.Options{})
	w := winnow.Start(t, winnow.Options{
		Upstreams: winnow.Map{"upstream.test": winnow.Upstream(t, upstream, registry.Open)},
		Policy:    warnOnly,
		// The suite pulls tags the moment after it has moved them.
		Config: winnow.Map{"defaultUpstream": "upstream.test", "tags": winnow.Map{"ttl": "1ms"}},
	})
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), suite)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"OCI_REGISTRY="+strings.TrimPrefix(newSplitter(t, upstream.URL, w.URL).URL, "http://"), "OCI_TLS=disabled",
		"OCI_RESULTS_DIR="+dir, "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true",
		"OCI_API_MANIFESTS_DELETE=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_TAGS_DELETE=false", "OCI_DATA_SHA512=false")
	out, runErr := testkit.Output(cmd)

	type results struct{ APIs, Data map[string]string }
	var got, golden results
	read(t, filepath.Join(dir, "results.yaml"), &got)
	read(t, filepath.Join("testdata", "conformance.yaml"), &golden)
	for _, part := range []map[string]string{golden.APIs, golden.Data} {
		for name, line := range part {
			status, why, _ := strings.Cut(line, ": ")
			if part[name] = status; (status == "Pass") != (why == "") {
				t.Errorf("the golden list says %q of %s; what does not pass must say why, and nothing else", line, name)
			}
		}
	}
	if diff := cmp.Diff(golden, got); diff != "" || runErr != nil {
		t.Errorf("conformance differs from the golden list (-want +got), the suite ended with %v:\n%s\n%s", runErr, diff, failures(out))
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
}

// failures picks the suite's lines about failed tests out of its long report.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			b.WriteString(line)
		}
	}
	return b.String()
}
