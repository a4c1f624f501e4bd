package rules

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

// What rules apply to.
var (
	images         = []policy.Kind{policy.KindImage}
	imagesIndexes  = []policy.Kind{policy.KindImage, policy.KindIndex}
	imagesArtifact = []policy.Kind{policy.KindImage, policy.KindArtifact}
	everything     = []policy.Kind{policy.KindImage, policy.KindIndex, policy.KindArtifact}
)

// define completes b with parameters of type P: defaults is what a `with` block starts from, compile makes the check.
func define[P any](b policy.Builtin, defaults P, compile func(P) (policy.Check, error)) policy.Builtin {
	b.Params = &defaults
	b.Compile = func(decode func(any) error) (policy.Check, error) {
		p := defaults
		if err := decode(&p); err != nil {
			return nil, err
		}
		return compile(p)
	}
	return b
}

// plain completes b with a check that takes no parameters.
func plain(b policy.Builtin, check policy.Check) policy.Builtin {
	b.Compile = func(func(any) error) (policy.Check, error) { return check, nil }
	return b
}

// bad is an error about the parameter at path.
func bad(path []any, format string, args ...any) error {
	return &policy.ParamError{Path: path, Message: fmt.Sprintf(format, args...)}
}

// broken is the outcome of an image that breaks a rule.
func broken(message string, findings ...string) policy.Outcome {
	out := policy.Outcome{Message: message}
	for _, f := range findings {
		out.Findings = append(out.Findings, policy.Finding{Text: f})
	}
	return out
}

// expressions compiles the regular expressions of a map, anchored at both ends: a pattern that matched anywhere would
// let through what its author did not mean. They run in linear time (RE2).
func expressions(field string, patterns map[string]string) (map[string]*regexp.Regexp, error) {
	out := make(map[string]*regexp.Regexp, len(patterns))
	for name, p := range patterns {
		re, err := regexp.Compile(`^(?:` + p + `)$`)
		if err != nil {
			return nil, bad([]any{field, name}, "%q is not a regular expression: %v", p, err)
		}
		out[name] = re
	}
	return out, nil
}

// days is a span of time in parameters, which people give in days.
func days(n float64) time.Duration { return time.Duration(n * float64(24*time.Hour)) }

// maxDays bounds spans: beyond it the arithmetic of time.Duration would overflow and turn a limit around.
const maxDays = 100 * 365

func checkDays(n float64) error {
	if n > 0 && n <= maxDays {
		return nil
	}
	return bad([]any{"days"}, "days is %g; want more than 0 and at most %d", n, maxDays)
}

// plural writes 1 layer, 2 layers.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// sortedKeys returns the keys of m in a fixed order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
