package rules

import (
	"slices"

	"github.com/winnow-registry/winnow/policy"
)

type allowedUpstreamsParams struct {
	Allow []string `yaml:"allow" jsonschema:"required,minItems=1" jsonschema_description:"names of upstreams, as in the configuration: docker.io, registry.corp:5443"`
}

func allowedUpstreams() policy.Builtin {
	return define(policy.Builtin{
		Name:     "reference.allowed-upstreams",
		Title:    "Comes from an allowed upstream",
		Doc:      "Refuses images of other upstreams than those listed. No upstream outside the configuration is ever reached; this narrows it for a policy's images.",
		Controls: []string{"NIST SP 800-190 4.1.5", "NIST SP 800-190 4.2.3"},
		Advice:   "Pull the image from an allowed upstream, or mirror it there.",
		Severity: policy.SeverityHigh,
		Stage:    policy.StageReference,
		Kinds:    everything,
	}, allowedUpstreamsParams{}, func(p allowedUpstreamsParams) (policy.Check, error) {
		if len(p.Allow) == 0 {
			return nil, bad([]any{"allow"}, "allow is missing: the names of the upstreams")
		}
		return func(in policy.Input) policy.Outcome {
			if slices.Contains(p.Allow, in.Contents.Image.Reference.Upstream) {
				return policy.Outcome{}
			}
			return broken("comes from an upstream that is not allowed", "upstream: "+in.Contents.Image.Reference.Upstream)
		}, nil
	})
}
