package rules

import (
	"fmt"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

type maxAgeParams struct {
	Days         float64 `yaml:"days" jsonschema:"required,exclusiveMinimum=0,maximum=36500" jsonschema_description:"how long ago the image may have been built"`
	AllowUnknown bool    `yaml:"allowUnknown" jsonschema_description:"admit images that do not say when they were built, as reproducible builds often do"`
}

func maxAge() policy.Builtin {
	return define(policy.Builtin{
		Name:  "image.max-age",
		Title: "Was built recently",
		Doc: "Refuses images whose configuration says that they were built too long ago, in the future, or not when. Times " +
			"before 1990 are the fixed times of reproducible builds and say nothing.",
		Controls: []string{"NIST SP 800-190 4.2.2", "CIS Docker 4.4"},
		Advice:   "Rebuild the image on a current base, or pull a newer tag.",
		Severity: policy.SeverityMedium,
		Stage:    policy.StageConfig,
		Kinds:    images,
	}, maxAgeParams{}, func(p maxAgeParams) (policy.Check, error) {
		if err := checkDays(p.Days); err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome { return judgeAge(p, in.Contents.Image.Created, in.Now) }, nil
	})
}

// futureTolerance is how far a builder's clock may be ahead of ours.
const futureTolerance = 24 * time.Hour

func judgeAge(p maxAgeParams, created, now time.Time) policy.Outcome {
	if created.Year() < 1990 {
		if p.AllowUnknown {
			return policy.Outcome{}
		}
		return broken("does not say when it was built")
	}
	said := "built " + created.UTC().Format(time.RFC3339)
	if created.After(now.Add(futureTolerance)) {
		out := broken("says it was built in the future", said)
		out.Until = created.Add(-futureTolerance)
		return out
	}
	until := created.Add(days(p.Days))
	if now.Before(until) {
		return policy.Outcome{Until: until}
	}
	return broken(fmt.Sprintf("was built more than %g days ago", p.Days), said)
}
