package rules_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

func TestEmbeddedPoliciesLoadWithoutWarning(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/policies/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies found: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set, err := policy.Load([]policy.File{{Name: filepath.Base(file), Data: data}}, rules.All())
		if err != nil {
			t.Error(err)
			continue
		}
		if w := set.Warnings(); len(w) > 0 {
			t.Errorf("%s: warnings: %q", file, w)
		}
	}
}

// TestPoliciesDoWhatTheirTestsSay runs the tests that are published beside the embedded policies, as
// `winnow policy test` does.
func TestPoliciesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/policies/tests/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d files of tests: %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		results, err := policy.RunTests(t.Context(), policy.Cases{
			File: policy.File{Name: file, Data: data}, Builtins: rules.All(), Read: readBeside(file),
		})
		if err != nil {
			t.Error(err)
		}
		for _, r := range results {
			for _, f := range r.Failures {
				t.Errorf("%s:%d: %s: %s", file, r.Line, r.Name, f)
			}
		}
	}
}

// readBeside reads what file names relative to its own folder.
func readBeside(file string) func(string) ([]policy.File, error) {
	return func(name string) ([]policy.File, error) {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(file), name))
		return []policy.File{{Name: name, Data: data}}, err
	}
}
