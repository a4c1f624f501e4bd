package rules

import (
	"slices"

	"github.com/winnow-registry/winnow/policy"
)

type allowedRepositoriesParams struct {
	Allow []string `yaml:"allow" jsonschema_description:"patterns over upstream/repository; when given, only these may be pulled"`
	Deny  []string `yaml:"deny" jsonschema_description:"patterns of repositories that may not be pulled, even if allow has them"`
}

func allowedRepositories() policy.Builtin {
	return define(policy.Builtin{
		Name:     "reference.allowed-repositories",
		Title:    "Comes from an allowed repository",
		Doc:      "Refuses images by upstream and repository, whatever tag or digest is asked for.",
		Controls: []string{"NIST SP 800-190 4.1.5", "CIS Docker 4.2"},
		Advice:   "Use the image your organisation provides for this, or have the repository added.",
		Severity: policy.SeverityHigh,
		Stage:    policy.StageReference,
		Kinds:    everything,
	}, allowedRepositoriesParams{}, func(p allowedRepositoriesParams) (policy.Check, error) {
		if len(p.Allow)+len(p.Deny) == 0 {
			return nil, bad(nil, "needs allow or deny, else it refuses nothing")
		}
		allow, err := patterns("allow", p.Allow)
		if err != nil {
			return nil, err
		}
		deny, err := patterns("deny", p.Deny)
		if err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome {
			matches := func(p policy.Pattern) bool { return p.MatchesName(in.Contents.Image.Reference) }
			if !slices.ContainsFunc(deny, matches) && (len(allow) == 0 || slices.ContainsFunc(allow, matches)) {
				return policy.Outcome{}
			}
			return broken("comes from a repository that is not allowed")
		}, nil
	})
}

func patterns(field string, list []string) ([]policy.Pattern, error) {
	out := make([]policy.Pattern, len(list))
	for i, text := range list {
		p, err := policy.ParsePattern(text)
		if err != nil {
			return nil, bad([]any{field, i}, "%v", err)
		}
		out[i] = p
	}
	return out, nil
}
