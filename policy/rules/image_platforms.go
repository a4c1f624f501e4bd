package rules

import (
	"regexp"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

type platformsParams struct {
	Allow []string `yaml:"allow" jsonschema:"required,minItems=1" jsonschema_description:"os/architecture, with a variant only where just that one is meant: linux/amd64, linux/arm/v7"`
}

var platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?$`)

func platforms() policy.Builtin {
	return define(policy.Builtin{
		Name:  "image.platforms",
		Title: "Is for an allowed platform",
		Doc: "Refuses images for other platforms than those listed, and images that do not say theirs. An index passes when one " +
			"of its images is for an allowed platform; each image is judged when it is pulled.",
		Controls: []string{"NIST SP 800-190 4.2.2"},
		Advice:   "Pull the image for an allowed platform, or have the platform added.",
		Severity: policy.SeverityMedium,
		Stage:    policy.StageConfig,
		Kinds:    imagesIndexes,
	}, platformsParams{}, func(p platformsParams) (policy.Check, error) {
		if len(p.Allow) == 0 {
			return nil, bad([]any{"allow"}, "allow is missing: the platforms, such as linux/amd64")
		}
		for i, text := range p.Allow {
			if !platformForm.MatchString(text) {
				return nil, bad([]any{"allow", i}, "%q is not a platform such as linux/amd64 or linux/arm/v7", text)
			}
		}
		return func(in policy.Input) policy.Outcome { return judgePlatforms(p.Allow, &in.Contents.Image) }, nil
	})
}

func judgePlatforms(allow []string, image *policy.Image) policy.Outcome {
	if image.Kind == policy.KindIndex {
		for _, c := range image.Children {
			if allowedPlatform(allow, c.Platform) {
				return policy.Outcome{}
			}
		}
		return broken("has no image for an allowed platform", "allowed: "+strings.Join(allow, ", "))
	}
	switch {
	case image.Platform.String() == "":
		return broken("does not say which platform it is for")
	case !allowedPlatform(allow, image.Platform):
		return broken("is for a platform that is not allowed", "platform: "+image.Platform.String())
	}
	return policy.Outcome{}
}

func allowedPlatform(allow []string, p policy.Platform) bool {
	base := p.OS + "/" + p.Architecture
	for _, a := range allow {
		if a == base || p.Variant != "" && a == base+"/"+p.Variant {
			return true
		}
	}
	return false
}
