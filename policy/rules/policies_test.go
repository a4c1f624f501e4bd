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
