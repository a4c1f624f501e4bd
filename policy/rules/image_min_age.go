package rules

import (
	"fmt"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

type minAgeParams struct {
	Days float64 `yaml:"days" jsonschema:"required,exclusiveMinimum=0,maximum=36500" jsonschema_description:"how long ago Winnow must first have met the digest in the repository; parts of a day may be given: 0.5"`
}

func minAge() policy.Builtin {
	return define(policy.Builtin{
		Name:  "image.min-age",
		Title: "Is not brand new",
		Doc: "Refuses an image until some time after Winnow first met its digest in the repository, so that others find out first " +
			"that a release was hijacked. What the image says of its own age is not asked: it can be made up.",
		Controls: []string{"NIST SP 800-190 4.1.5"},
		Advice:   "Wait, or pull an older tag; the first pull starts the time.",
		Severity: policy.SeverityMedium,
		Stage:    policy.StageReference,
		Kinds:    imagesIndexes,
	}, minAgeParams{}, func(p minAgeParams) (policy.Check, error) {
		if err := checkDays(p.Days); err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome {
			seen := in.Contents.Image.FirstSeen
			if seen.IsZero() {
				return broken("has not been known for long enough", "it is not known when the digest was first met")
			}
			until := seen.Add(days(p.Days))
			if !in.Now.Before(until) {
				return policy.Outcome{}
			}
			out := broken("has not been known for long enough", fmt.Sprintf("first met %s, allowed from %s",
				seen.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339)))
			out.Until = until
			return out
		}, nil
	})
}
