package rules

import (
	"fmt"

	"github.com/winnow-registry/winnow/policy"
)

type maxLayersParams struct {
	Max int `yaml:"max" jsonschema:"minimum=1,default=127" jsonschema_description:"most layers an image may have"`
}

func maxLayers() policy.Builtin {
	return define(policy.Builtin{
		Name:     "image.max-layers",
		Title:    "Has few enough layers",
		Doc:      "Refuses images with more layers than given. 127 is the most that overlay storage mounts.",
		Controls: []string{"DISA CCI-002617"},
		Advice:   "Join RUN instructions, or build in stages and copy the result.",
		Severity: policy.SeverityLow,
		Stage:    policy.StageManifest,
		Kinds:    images,
		Mends:    true,
	}, maxLayersParams{Max: 127}, func(p maxLayersParams) (policy.Check, error) {
		if p.Max < 1 {
			return nil, bad([]any{"max"}, "max is %d; want 1 or more", p.Max)
		}
		return func(in policy.Input) policy.Outcome {
			n := len(in.Contents.Image.Layers)
			if n <= p.Max {
				return policy.Outcome{}
			}
			return broken(fmt.Sprintf("has %s, more than %d", plural(n, "layer"), p.Max))
		}, nil
	})
}
