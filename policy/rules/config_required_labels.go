package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

type requiredLabelsParams struct {
	Names []string          `yaml:"names" jsonschema_description:"labels that must be there and not be empty"`
	Match map[string]string `yaml:"match" jsonschema_description:"labels that must be there and match a regular expression (RE2) from end to end"`
}

func requiredLabels() policy.Builtin {
	return define(policy.Builtin{
		Name:     "config.required-labels",
		Title:    "Carries the required labels",
		Doc:      "Refuses images whose configuration lacks a label, has it empty, or has a value that does not match. Values are never printed.",
		Controls: []string{"NIST SP 800-190 4.2.2", "DISA CCI-000366"},
		Advice:   "Add the labels when the image is built: LABEL org.opencontainers.image.source=…",
		Severity: policy.SeverityLow,
		Stage:    policy.StageConfig,
		Kinds:    images,
	}, requiredLabelsParams{}, func(p requiredLabelsParams) (policy.Check, error) {
		needed, err := newRequired(p.Names, p.Match)
		if err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome { return needed.judge("label", in.Contents.Image.Config.Labels) }, nil
	})
}

// required is what a map of texts must hold.
type required struct {
	names []string
	match map[string]*regexp.Regexp
}

func newRequired(names []string, match map[string]string) (*required, error) {
	if len(names)+len(match) == 0 {
		return nil, bad(nil, "needs names or match, else it requires nothing")
	}
	if i := slices.Index(names, ""); i >= 0 {
		return nil, bad([]any{"names", i}, "a name is empty")
	}
	compiled, err := expressions("match", match)
	return &required{names: names, match: compiled}, err
}

// judge reports what have lacks; word says what its entries are.
func (r *required) judge(word string, have map[string]string) policy.Outcome {
	var found []string
	for _, name := range r.names {
		if strings.TrimSpace(have[name]) == "" {
			found = append(found, fmt.Sprintf("%s %s is missing or empty", word, name))
		}
	}
	for _, name := range sortedKeys(r.match) {
		switch value, ok := have[name]; {
		case !ok:
			found = append(found, fmt.Sprintf("%s %s is missing", word, name))
		case !r.match[name].MatchString(value):
			found = append(found, fmt.Sprintf("%s %s does not have the required form", word, name))
		}
	}
	if len(found) == 0 {
		return policy.Outcome{}
	}
	return broken("lacks "+plural(len(found), "required "+word), found...)
}
