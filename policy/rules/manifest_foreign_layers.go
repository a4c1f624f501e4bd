package rules

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

type foreignLayersParams struct {
	AllowHosts []string `yaml:"allowHosts" jsonschema_description:"hosts that layers may name, exactly as in the address; clients fetch from them directly, and Winnow does not see what they get"`
}

func foreignLayers() policy.Builtin {
	return define(policy.Builtin{
		Name:  "manifest.foreign-layers",
		Title: "Has no foreign layer",
		Doc: "Refuses manifests with layers that clients are told to fetch from elsewhere (urls) or that a registry is told not to " +
			"hold (nondistributable, foreign): such a layer goes past every check here.",
		Controls: []string{"NIST SP 800-190 4.1.5", "CVE-2020-15157"},
		Advice:   "Rebuild the image with all layers in the registry, or allow the host and accept that clients fetch from it unchecked.",
		Severity: policy.SeverityCritical,
		Stage:    policy.StageManifest,
		Kinds:    imagesArtifact,
	}, foreignLayersParams{}, func(p foreignLayersParams) (policy.Check, error) {
		for i, h := range p.AllowHosts {
			if h == "" || strings.ContainsAny(h, "/*@ ") {
				return nil, bad([]any{"allowHosts", i}, "%q is not a host such as layers.example.org", h)
			}
		}
		return func(in policy.Input) policy.Outcome { return judgeForeign(p.AllowHosts, in.Contents.Image.Layers) }, nil
	})
}

func judgeForeign(allow []string, layers []policy.Layer) policy.Outcome {
	var found []string
	for i, l := range layers {
		switch {
		case len(l.URLs) == 0 && isForeignType(l.MediaType):
			found = append(found, fmt.Sprintf("layer %d has media type %s", i+1, l.MediaType))
		case slices.ContainsFunc(l.URLs, func(u string) bool { return !allowedHost(allow, u) }):
			// The address may carry credentials; the place of the layer is enough to find it.
			found = append(found, fmt.Sprintf("layer %d is to be fetched from elsewhere", i+1))
		}
	}
	if len(found) == 0 {
		return policy.Outcome{}
	}
	return broken("has "+plural(len(found), "foreign layer"), found...)
}

func isForeignType(mediaType string) bool {
	return strings.Contains(mediaType, ".nondistributable.") || strings.Contains(mediaType, ".foreign.")
}

func allowedHost(allow []string, address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil && slices.Contains(allow, u.Host)
}
