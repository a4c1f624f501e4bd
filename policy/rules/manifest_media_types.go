package rules

import (
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/winnow-registry/winnow/policy"
)

type mediaTypesParams struct {
	Artifacts []string `yaml:"artifacts" jsonschema_description:"artifact types to admit, as patterns in which * stays between slashes and ** matches any; default: signatures, attestations, SBOMs and Helm charts"`
	Layers    []string `yaml:"layers" jsonschema_description:"media types that image layers may have besides tar archives, plain or with gzip or zstd"`
}

// Source: OCI image-spec 1.1 media-types.md and Docker's manifest v2 schema 2.
var (
	manifestTypes = []string{
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	}
	layerTypes = []string{
		"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.zstd",
	}
	artifactTypes = []string{
		"application/vnd.dev.sigstore.**", "application/vnd.dev.cosign.**", "application/vnd.cncf.notary.**", // signatures
		"application/vnd.in-toto+json", "application/vnd.in-toto.**", "application/vnd.dsse.envelope.v1+json", "application/vnd.slsa.**", // attestations
		"application/spdx+json", "text/spdx", "text/spdx+json", "application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml",
		"application/vnd.cyclonedx", "application/vnd.syft+json", "application/vnd.openvex+json", "application/sarif+json", // SBOMs and reports
		"application/vnd.cncf.helm.config.v1+json", // charts
	}
)

func mediaTypes() policy.Builtin {
	return define(policy.Builtin{
		Name:  "manifest.media-types",
		Title: "Holds only known media types",
		Doc: "Refuses what no rule could judge: manifests and layers of unknown media types, encrypted layers, and artifacts of types that " +
			"are not listed, such as WebAssembly modules. Foreign layers are left to manifest.foreign-layers. BuildKit's attestations and cosign's older " +
			"signatures come as images whose layers all have such an artifact type: this rule admits them, and the rules about configuration judge them " +
			"as images, since some clients would run what is packed that way.",
		Controls: []string{"NIST SP 800-190 4.1.5", "OCI image-spec 1.1"},
		Advice:   "Have the artifact type added to the rule's artifacts if it is wanted, or rebuild the image with standard layers.",
		Severity: policy.SeverityHigh,
		Stage:    policy.StageManifest,
		Kinds:    everything,
	}, mediaTypesParams{Artifacts: artifactTypes}, func(p mediaTypesParams) (policy.Check, error) {
		for field, list := range map[string][]string{"artifacts": p.Artifacts, "layers": p.Layers} {
			for i, pattern := range list {
				if pattern == "" || !doublestar.ValidatePattern(pattern) {
					return nil, bad([]any{field, i}, "%q is not a pattern", pattern)
				}
			}
		}
		return func(in policy.Input) policy.Outcome { return judgeTypes(p, &in.Contents.Image) }, nil
	})
}

func judgeTypes(p mediaTypesParams, image *policy.Image) policy.Outcome {
	if !slices.Contains(manifestTypes, image.MediaType) {
		return broken("has a manifest of an unknown type", "media type: "+image.MediaType)
	}
	var found []string
	switch image.Kind {
	case policy.KindIndex:
		for i, c := range image.Children {
			if !slices.Contains(manifestTypes, c.MediaType) {
				found = append(found, fmt.Sprintf("entry %d has media type %s", i+1, c.MediaType))
			}
		}
		if image.ArtifactType != "" && !matchesType(p.Artifacts, image.ArtifactType) {
			found = append(found, "artifact type: "+image.ArtifactType)
		}
	case policy.KindArtifact:
		if !matchesType(p.Artifacts, image.ArtifactType) {
			return broken("is an artifact of a type that is not admitted", "artifact type: "+image.ArtifactType)
		}
	default:
		if len(image.Layers) > 0 && !slices.ContainsFunc(image.Layers, func(l policy.Layer) bool { return !matchesType(p.Artifacts, l.MediaType) }) {
			return policy.Outcome{}
		}
		for i, l := range image.Layers {
			if !slices.Contains(layerTypes, l.MediaType) && !isForeignType(l.MediaType) && !matchesType(p.Layers, l.MediaType) {
				found = append(found, fmt.Sprintf("layer %d has media type %s", i+1, l.MediaType))
			}
		}
	}
	if len(found) == 0 {
		return policy.Outcome{}
	}
	return broken("holds media types that are not admitted", found...)
}

func matchesType(patterns []string, mediaType string) bool {
	return mediaType != "" && slices.ContainsFunc(patterns, func(p string) bool {
		return p == "**" || doublestar.MatchUnvalidated(p, mediaType)
	})
}
