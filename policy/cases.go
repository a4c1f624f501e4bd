package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// Cases are tests of policies, as their authors write them: image facts in, decision and violations out.
//
//	policies: [standard.yaml]               # for all tests; each may name its own
//	now: 2026-06-01T00:00:00Z
//	tests:
//	  - name: an image that runs as root is refused
//	    facts:                              # or the name of a file that holds them
//	      reference: docker.io/library/nginx:1.27
//	      config: {user: ""}
//	    request: {user: alice}
//	    expect: {decision: deny, violations: [no-root], exempted: []}
//
// A list in expect must be given whole, in any order; one that is left out is not compared.
type Cases struct {
	File     File      // the tests
	Policies []File    // what is tested where neither file nor test names policies
	Builtins []Builtin // what policies may use
	// Read returns the files that a name in the tests stands for; a folder may hold several.
	Read func(name string) ([]File, error)
}

// A CaseResult is what came of one test.
type CaseResult struct {
	Name     string
	Line     int      // in the file of tests
	Verdict  *Verdict // what the policies say
	Failures []string // what differs from what is expected; empty when the test passed
}

type casesDocument struct {
	Policies []string              `yaml:"policies"`
	Now      time.Time             `yaml:"now"`
	Tests    []strictyaml.Document `yaml:"tests"`
}

type caseFields struct {
	Name     string              `yaml:"name"`
	Policies []string            `yaml:"policies"`
	Facts    strictyaml.Document `yaml:"facts"`
	Request  requestFields       `yaml:"request"`
	Now      time.Time           `yaml:"now"`
	Expect   expectFields        `yaml:"expect"`
}

type requestFields struct {
	IP    string `yaml:"ip"`
	User  string `yaml:"user"`
	Agent string `yaml:"agent"`
}

type expectFields struct {
	Decision   Decision `yaml:"decision"`
	WouldBe    Decision `yaml:"wouldBe"`
	Violations []string `yaml:"violations"`
	Exempted   []string `yaml:"exempted"`
}

// defaultNow is when tests take place that do not say: a fixed time, so that they do not fail one day by themselves.
var defaultNow = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// RunTests runs the tests of one file, in their order. The error says what is wrong with the file or its policies;
// tests that do not pass are no error.
func RunTests(ctx context.Context, c Cases) ([]CaseResult, error) {
	var d casesDocument
	if err := strictyaml.Decode(c.File.Name, c.File.Data, &d); err != nil {
		return nil, err
	}
	if len(d.Tests) == 0 {
		return nil, fmt.Errorf("%s: holds no tests; it needs a list of them under the key tests", c.File.Name)
	}
	r := caseRun{Cases: c, defaults: d, sets: map[string]*Set{}}
	var results []CaseResult
	var errs []error
	for _, doc := range d.Tests {
		result, err := r.run(ctx, doc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, result)
	}
	return results, errors.Join(errs...)
}

type caseRun struct {
	Cases
	defaults casesDocument
	sets     map[string]*Set // by the names of their policies
}

func (r *caseRun) run(ctx context.Context, doc strictyaml.Document) (CaseResult, error) {
	var f caseFields
	if err := doc.Decode(&f); err != nil {
		return CaseResult{}, err
	}
	line, _ := doc.Position()
	if f.Name == "" {
		return CaseResult{}, doc.Errorf(nil, "a test has no name")
	}
	if !slices.Contains([]Decision{Admit, Slim, Deny}, f.Expect.Decision) {
		return CaseResult{}, doc.Errorf([]any{"expect", "decision"}, "expect.decision is %q; want admit, slim or deny", f.Expect.Decision)
	}
	contents, err := r.facts(doc, f.Facts)
	if err != nil {
		return CaseResult{}, err
	}
	set, err := r.set(doc, f.Policies)
	if err != nil {
		return CaseResult{}, err
	}
	now := f.Now
	if now.IsZero() {
		now = r.defaults.Now
	}
	if now.IsZero() {
		now = defaultNow
	}
	v, err := set.Evaluate(ctx, contents, Requester(f.Request), now)
	if err != nil {
		return CaseResult{}, err
	}
	return CaseResult{Name: f.Name, Line: line, Verdict: v, Failures: f.Expect.compare(v)}, nil
}

// facts reads what the test gives, or the file it names.
func (r *caseRun) facts(doc, given strictyaml.Document) (Contents, error) {
	var f facts
	if given.Empty() {
		return Contents{}, doc.Errorf(nil, "the test has no facts: an image, or the name of a file that describes one")
	}
	from := given
	var name string
	if given.Decode(&name) == nil {
		files, err := r.Read(name)
		if err != nil {
			return Contents{}, given.Errorf(nil, "reading facts: %v", err)
		}
		if len(files) != 1 {
			return Contents{}, given.Errorf(nil, "%s is %d files; facts are one", name, len(files))
		}
		if err := strictyaml.Decode(files[0].Name, files[0].Data, &f); err != nil {
			return Contents{}, err
		}
	} else if err := given.Decode(&f); err != nil {
		return Contents{}, err
	}
	contents, err := f.contents()
	if err != nil {
		return Contents{}, from.Errorf(nil, "%v", err)
	}
	return contents, nil
}

// set loads the policies of a test, once for all tests that name the same.
func (r *caseRun) set(doc strictyaml.Document, names []string) (*Set, error) {
	if len(names) == 0 {
		names = r.defaults.Policies
	}
	key := strings.Join(names, "\x00")
	if s, ok := r.sets[key]; ok {
		return s, nil
	}
	files := r.Policies
	if len(names) > 0 {
		files = nil
	}
	for _, name := range names {
		read, err := r.Read(name)
		if err != nil {
			return nil, doc.Errorf([]any{"policies"}, "reading policies: %v", err)
		}
		files = append(files, read...)
	}
	s, err := Load(files, r.Builtins)
	if err != nil {
		return nil, err
	}
	r.sets[key] = s
	return s, nil
}

// compare says how the verdict differs from what was expected.
func (e *expectFields) compare(v *Verdict) []string {
	var out []string
	if v.Decision != e.Decision {
		out = append(out, fmt.Sprintf("decision is %s, not %s", v.Decision, e.Decision))
	}
	if e.WouldBe != "" && v.WouldBe != e.WouldBe {
		out = append(out, fmt.Sprintf("wouldBe is %q, not %q", v.WouldBe, e.WouldBe))
	}
	var open, exempted []string
	for _, x := range v.Violations {
		if x.Exemption != "" {
			exempted = append(exempted, x.Rule)
		} else {
			open = append(open, x.Rule)
		}
	}
	out = append(out, difference("violation", e.Violations, open)...)
	return append(out, difference("exempted violation", e.Exempted, exempted)...)
}

func difference(what string, want, got []string) []string {
	if want == nil {
		return nil
	}
	var out []string
	for _, id := range want {
		if !slices.Contains(got, id) {
			out = append(out, fmt.Sprintf("%s %s is missing", what, id))
		}
	}
	for _, id := range got {
		if !slices.Contains(want, id) {
			out = append(out, fmt.Sprintf("%s %s was not expected", what, id))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
