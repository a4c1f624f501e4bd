package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/configs"
)

func names(t *testing.T, paths ...string) []string {
	t.Helper()
	c := configs.Default()
	c.Policy.Paths = paths
	files, err := configs.ReadPolicies(&c)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if len(f.Data) == 0 {
			t.Errorf("%s is empty", f.Name)
		}
		out = append(out, f.Name)
	}
	return out
}

func TestEmbeddedPoliciesAreNamedByAWord(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"embedded:baseline"}, names(t)); diff != "" {
		t.Error(diff)
	}
	want := []string{"embedded:strict", "embedded:standard", "embedded:baseline"}
	if diff := cmp.Diff(want, names(t, "strict", "standard", "baseline")); diff != "" {
		t.Error(diff)
	}
}

func TestFoldersGiveTheirPolicies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("# policy\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"b.yml", "a.yaml", "sub/c.YAML", "notes.txt", ".hidden.yaml", "..data/d.yaml", "one.policy"} {
		put(name)
	}
	// As Kubernetes mounts a ConfigMap.
	if err := os.Symlink("..data/d.yaml", filepath.Join(dir, "d.yaml")); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yml"), filepath.Join(dir, "d.yaml"), filepath.Join(dir, "sub/c.YAML"), filepath.Join(dir, "one.policy")}
	if diff := cmp.Diff(want, names(t, dir, filepath.Join(dir, "one.policy"))); diff != "" {
		t.Error(diff)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if got := names(t, link); len(got) != 4 {
		t.Errorf("a link to the folder gives %v", got)
	}
}

func TestAPolicyThatIsMissingIsAnError(t *testing.T) {
	t.Parallel()
	empty, linked, large := t.TempDir(), t.TempDir(), write(t, "large.yaml", strings.Repeat("#", 1<<20+1))
	if err := os.Symlink(empty, filepath.Join(linked, "more")); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"lax":         "lax is no file, no folder and no embedded policy (baseline, standard, strict)",
		"/not/there":  "/not/there: no such file or folder",
		empty:         "the folder holds no *.yaml or *.yml file",
		linked:        "is a link to a folder; name that folder",
		large:         "is larger than 1048576 bytes; split it",
		"/dev/null":   "/dev/null is no regular file",
		"../policies": "no such file or folder",
	} {
		c := configs.Default()
		c.Policy.Paths = []string{p}
		if _, err := configs.ReadPolicies(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", p, err, want)
		}
	}
}

func TestTestsOfPoliciesAreNotReadAsPolicies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.yaml", "kind: Policy\n")
	put("a_test.yaml", "tests: []\n")
	if diff := cmp.Diff([]string{filepath.Join(dir, "a.yaml")}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	put("b_test.yaml", "apiVersion: winnow/v1\nkind: Policy\n")
	c := configs.Default()
	c.Policy.Paths = []string{dir}
	if _, err := configs.ReadPolicies(&c); err == nil || !strings.Contains(err.Error(), "b_test.yaml is named like tests of policies, but holds a policy") {
		t.Errorf("a policy in b_test.yaml: %v", err)
	}
}
