package admission

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// TagList returns a page of at most n tags after last, and whether more follow. Listing does not admit: a tag that is
// listed may be refused when it is pulled.
func (g *Gate) TagList(ctx context.Context, ref policy.Reference, n int, last string) (names []string, more bool, err error) {
	return g.Lister.Tags(ctx, ref.Upstream, ref.Repository, n, last)
}

// descriptor is the part of a referrer's descriptor that is passed on. Embedded data is not: it would be content that
// nobody admitted.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Referrers returns the index of what refers to ref's digest, as distribution-spec 1.1 has it, and whether
// artifactType was applied. Each referrer is admitted by itself when it is asked for.
func (g *Gate) Referrers(ctx context.Context, ref policy.Reference, artifactType string) (index []byte, filtered bool, err error) {
	raw, filtered, err := g.Lister.Referrers(ctx, ref.Upstream, ref.Repository, ref.Digest, artifactType)
	if err != nil {
		return nil, false, err
	}
	m, err := manifest.Parse(raw, "")
	if err != nil || m.Kind != policy.KindIndex {
		return nil, false, &fault{status: 502, reason: "invalid_content", message: "the upstream's list of referrers is not valid"}
	}
	out := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, manifest.OCIIndex, []descriptor{}}
	for _, c := range m.Children {
		out.Manifests = append(out.Manifests, descriptor{c.MediaType, c.Digest, c.Size, c.ArtifactType, c.Annotations})
	}
	if index, err = json.Marshal(out); err != nil {
		return nil, false, fmt.Errorf("writing the list of referrers: %w", err)
	}
	return index, filtered, nil
}
