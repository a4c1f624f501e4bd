package rules

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/invopop/jsonschema"

	"github.com/winnow-registry/winnow/policy"
)

type maxSizeParams struct {
	Max byteSize `yaml:"max" jsonschema:"required" jsonschema_description:"most bytes of configuration and layers, compressed: 500MiB, 2GB or a number"`
}

func maxSize() policy.Builtin {
	return define(policy.Builtin{
		Name:     "image.max-size",
		Title:    "Is small enough",
		Doc:      "Refuses images and artifacts whose configuration and layers, compressed as the manifest declares them, are larger than given.",
		Controls: []string{"NIST SP 800-190 4.1.2", "DISA CCI-002617"},
		Advice:   "Build in stages, start from a smaller base, or let Winnow slim the image.",
		Severity: policy.SeverityLow,
		Stage:    policy.StageManifest,
		Kinds:    imagesArtifact,
		Mends:    true,
	}, maxSizeParams{}, func(p maxSizeParams) (policy.Check, error) {
		if p.Max < 1 {
			return nil, bad([]any{"max"}, "max is missing: a size such as 500MiB")
		}
		return func(in policy.Input) policy.Outcome {
			size := in.Contents.Image.Size
			if size >= 0 && size <= int64(p.Max) {
				return policy.Outcome{}
			}
			return broken(fmt.Sprintf("is larger than %s", p.Max), fmt.Sprintf("%d bytes declared", size))
		}, nil
	})
}

// byteSize is a number of bytes that people write with a unit.
type byteSize int64

var (
	sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(B|[KMGT]B|[KMGT]iB)?$`)
	units    = map[string]float64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
)

// UnmarshalText reads 500MiB, 2GB or 1048576.
func (s *byteSize) UnmarshalText(text []byte) error {
	m := sizeForm.FindStringSubmatch(string(text))
	if m == nil {
		return fmt.Errorf("%q is not a size such as 500MiB, 2GB or 1048576", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if n *= units[m[2]]; err != nil || n >= math.MaxInt64 {
		return fmt.Errorf("%q is too large", text)
	}
	*s = byteSize(n)
	return nil
}

// String writes the size with the largest unit that divides it.
func (s byteSize) String() string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := int64(units[unit]); int64(s) >= n && int64(s)%n == 0 {
			return strconv.FormatInt(int64(s)/n, 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10) + " bytes"
}

// JSONSchema implements the interface of jsonschema.Reflector.
func (byteSize) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: sizeForm.String()},
	}}
}
