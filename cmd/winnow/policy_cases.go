package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

var errNoTests = errors.New("no tests of policies: write *_test.yaml beside the policies, or name a file; winnow policy test --help shows one")

// maxTestFile bounds a file of tests or facts, as the parser of policies does.
const maxTestFile = 1 << 20

func (s *shell) policyTestCommand() *cobra.Command {
	var policies []string
	var output string
	cmd := &cobra.Command{
		Use: "test [FILE…]", Short: "Run tests of policies: image facts in, decision and violations out",
		Long: "Runs tests of policies, without any image or registry. A FILE is a file of tests or a folder of *_test.yaml;\n" +
			"without one, the *_test.yaml beside the policies in force are run. Names in a file are relative to it. What\n" +
			"is tested is what the file names under `policies`, or else --policy or policy.paths.\n\n" +
			"  policies: [./policy.yaml]\n" +
			"  tests:\n" +
			"    - name: an image that runs as root is refused\n" +
			"      facts: {reference: \"docker.io/library/nginx:1.27\", config: {user: \"\"}}\n" +
			"      expect: {decision: deny, violations: [no-root]}\n\n" +
			"Exit code: 0 all pass, 2 some do not, 3 a file is wrong.",
		Example: "  winnow policy test\n  winnow policy test --policy ./policies ./policies/tests/*.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			return s.testPolicies(cmd.Context(), policies, args, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "file, folder or embedded policy instead of policy.paths; may be repeated")
	outputFlag(cmd, &output, "text or json")
	return cmd
}

// A testResult is one test; -o json prints a list of them.
type testResult struct {
	File     string          `json:"file"`
	Line     int             `json:"line"`
	Name     string          `json:"name"`
	Passed   bool            `json:"passed"`
	Decision policy.Decision `json:"decision"`
	Failures []string        `json:"failures"`
}

func (s *shell) testPolicies(ctx context.Context, policies, args []string, asJSON bool) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	if len(policies) > 0 {
		config.Policy.Paths = policies
	}
	names, err := testFiles(args, config.Policy.Paths)
	if err != nil {
		return err
	}
	tested, err := policyFiles(config, policies)
	if err != nil {
		return err
	}
	results := []testResult{}
	for _, name := range names {
		more, err := runTests(ctx, name, tested)
		if err != nil {
			return err
		}
		results = append(results, more...)
	}
	failed := 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
	}
	if asJSON {
		err = writeJSON(s.stdout, results)
	} else {
		err = writeResults(newTerminal(s.stdout), results, failed)
	}
	if err == nil && failed > 0 {
		err = exitDeny
	}
	return err
}

func runTests(ctx context.Context, name string, tested []policy.File) ([]testResult, error) {
	file, err := readTestFile(name)
	if err != nil {
		return nil, err
	}
	cases, err := policy.RunTests(ctx, policy.Cases{
		File: file, Policies: tested, Builtins: rules.All(),
		Read: func(other string) ([]policy.File, error) { return readBeside(name, other) },
	})
	if err != nil {
		return nil, err
	}
	var out []testResult
	for _, c := range cases {
		out = append(out, testResult{
			File: name, Line: c.Line, Name: c.Name, Passed: len(c.Failures) == 0, Decision: c.Verdict.Decision,
			Failures: append([]string{}, c.Failures...),
		})
	}
	return out, nil
}

// readBeside reads what a file of tests names: a path relative to its folder, or an embedded policy.
func readBeside(tests, name string) ([]policy.File, error) {
	beside := name
	if !filepath.IsAbs(name) {
		beside = filepath.Join(filepath.Dir(tests), name)
	}
	if _, err := os.Stat(beside); err == nil {
		return configs.ReadPolicyPaths([]string{beside})
	}
	if b, err := configs.EmbeddedPolicy(name); err == nil && filepath.Base(name) == name {
		return []policy.File{{Name: "embedded:" + name, Data: b}}, nil
	}
	return nil, fmt.Errorf("%s: no such file or folder", beside)
}

func readTestFile(name string) (policy.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return policy.File{}, fmt.Errorf("reading tests: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTestFile {
		return policy.File{}, fmt.Errorf("%s is no file of tests: it is no regular file, or larger than %d bytes", name, maxTestFile)
	}
	b, err := os.ReadFile(name)
	return policy.File{Name: name, Data: b}, err
}

// testFiles returns the files that the arguments name, or else those beside the policies.
func testFiles(args, policies []string) ([]string, error) {
	from := args
	if len(from) == 0 {
		for _, p := range policies {
			if info, err := os.Stat(p); err == nil && !info.IsDir() {
				p = filepath.Dir(p)
			} else if err != nil {
				continue // an embedded policy, or nothing: reading the policies tells
			}
			if !slices.Contains(from, p) {
				from = append(from, p)
			}
		}
	}
	var out []string
	for _, name := range from {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("reading tests: %w", err)
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		if err := filepath.WalkDir(name, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && p != name && strings.HasPrefix(e.Name(), ".") {
				return fs.SkipDir
			}
			if !e.IsDir() && configs.IsPolicyTest(p) {
				out = append(out, p)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("looking for tests: %w", err)
		}
	}
	if len(out) == 0 {
		return nil, errNoTests
	}
	return out, nil
}

func writeResults(t *terminal, results []testResult, failed int) error {
	for _, r := range results {
		if r.Passed {
			t.line("%s  %s", t.paint(codeGreen, "pass"), plain(r.Name))
			continue
		}
		t.line("%s  %s", t.paint(codeRed, "FAIL"), plain(r.Name))
		for _, f := range r.Failures {
			t.line("      %s:%d: %s", plain(r.File), r.Line, plain(f))
		}
	}
	t.line("%d passed, %d failed", len(results)-failed, failed)
	return t.err
}
