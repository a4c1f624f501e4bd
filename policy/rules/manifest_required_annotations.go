package rules

import "github.com/winnow-registry/winnow/policy"

type requiredAnnotationsParams struct {
	Names []string          `yaml:"names" jsonschema_description:"annotations that must be there and not be empty"`
	Match map[string]string `yaml:"match" jsonschema_description:"annotations that must be there and match a regular expression (RE2) from end to end"`
}

func requiredAnnotations() policy.Builtin {
	return define(policy.Builtin{
		Name:  "manifest.required-annotations",
		Title: "Carries the required annotations",
		Doc: "Refuses images whose manifest lacks an annotation, has it empty, or has a value that does not match. The manifest " +
			"of the image is judged, not that of an index above it.",
		Controls: []string{"NIST SP 800-190 4.2.2", "DISA CCI-000366"},
		Advice:   "Add the annotations when the image is built: docker buildx build --annotation manifest:…",
		Severity: policy.SeverityLow,
		Stage:    policy.StageManifest,
		Kinds:    images,
	}, requiredAnnotationsParams{}, func(p requiredAnnotationsParams) (policy.Check, error) {
		needed, err := newRequired(p.Names, p.Match)
		if err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome { return needed.judge("annotation", in.Contents.Image.Annotations) }, nil
	})
}
