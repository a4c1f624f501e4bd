package rules

import (
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/winnow-registry/winnow/policy"
)

type tagPatternParams struct {
	Deny  []string `yaml:"deny" jsonschema:"default=latest" jsonschema_description:"patterns of tags that may not be pulled"`
	Allow []string `yaml:"allow" jsonschema_description:"patterns of tags; when given, only these may be pulled"`
}

func tagPattern() policy.Builtin {
	return define(policy.Builtin{
		Name:  "reference.tag-pattern",
		Title: "Is pulled by an allowed tag",
		Doc: "Refuses images by the tag they are asked for, by default latest, which is also what clients ask for when no tag is " +
			"given. A pull by digest has no tag and passes.",
		Controls: []string{"NIST SP 800-190 4.2.2", "DKL-DI-0006"},
		Advice:   "Name a version, or better a digest.",
		Severity: policy.SeverityLow,
		Stage:    policy.StageReference,
		Kinds:    imagesIndexes,
	}, tagPatternParams{Deny: []string{"latest"}}, func(p tagPatternParams) (policy.Check, error) {
		for field, list := range map[string][]string{"deny": p.Deny, "allow": p.Allow} {
			for i, pattern := range list {
				if pattern == "" || !doublestar.ValidatePattern(pattern) {
					return nil, bad([]any{field, i}, "%q is not a pattern of tags such as v*", pattern)
				}
			}
		}
		return func(in policy.Input) policy.Outcome {
			tag := in.Contents.Image.Reference.Tag
			matches := func(p string) bool { return doublestar.MatchUnvalidated(p, tag) }
			if tag == "" || !slices.ContainsFunc(p.Deny, matches) && (len(p.Allow) == 0 || slices.ContainsFunc(p.Allow, matches)) {
				return policy.Outcome{}
			}
			return broken("is pulled by a tag that is not allowed", "tag: "+tag)
		}, nil
	})
}
