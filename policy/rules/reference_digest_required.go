package rules

import "github.com/winnow-registry/winnow/policy"

func digestRequired() policy.Builtin {
	return plain(policy.Builtin{
		Name:     "reference.digest-required",
		Title:    "Is pulled by digest",
		Doc:      "Refuses pulls by tag: a tag can be moved to other content, a digest cannot.",
		Controls: []string{"NIST SP 800-190 4.2.2", "NIST SP 800-190 4.1.5"},
		Advice:   "Pin the image: name@sha256:…; the page of this refusal has the digest.",
		Severity: policy.SeverityMedium,
		Stage:    policy.StageReference,
		Kinds:    imagesIndexes,
	}, func(in policy.Input) policy.Outcome {
		ref := in.Contents.Image.Reference
		if ref.Tag == "" {
			return policy.Outcome{}
		}
		return broken("is not pulled by digest", "tag "+ref.Tag+" is "+ref.Digest+" now")
	})
}
