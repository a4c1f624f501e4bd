package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxReferrerPages = 32   // requests that one call may cause
	maxReferrers     = 4096 // descriptors in all: an image has a handful, a flood has a million
	maxMediaType     = 255  // bytes of a media type (RFC 6838, twice 127 and a slash)
)

// Referrers returns an image index of the manifests that name digest as their subject: from the referrers API, or
// where there is none from the tag that the distribution spec falls back to. Pages are merged and filtered by
// artifactType here (filtered says that it was done). What the upstream lists is a claim: each entry is a manifest to
// be judged. One entry of a wrong shape makes the answer invalid.
func (c *Client) Referrers(
	ctx context.Context, upstream, repository, digest, artifactType string,
) (index []byte, filtered bool, err error) {
	r, ctx, cancel, err := c.call(ctx, upstream)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	if _, ok := parseDigest(digest); !ok {
		return nil, false, r.fault(http.StatusBadRequest, reasonInvalidName, "not a digest: %q", printable(digest))
	}
	list, found, err := r.listReferrers(ctx, repository, digest, artifactType)
	if err == nil && !found {
		list, err = r.taggedReferrers(ctx, repository, digest)
	}
	if err != nil {
		return nil, false, err
	}
	index, err = r.mergeReferrers(list, artifactType)
	return index, artifactType != "", err
}

// listReferrers asks the referrers API; found is false where the upstream has none.
func (r *registry) listReferrers(
	ctx context.Context, repository, digest, artifactType string,
) (list []v1.Descriptor, found bool, err error) {
	values := url.Values{}
	if artifactType != "" {
		values.Set("artifactType", artifactType)
	}
	for range maxReferrerPages {
		resp, err := r.do(ctx, query{
			kind: "referrers", method: http.MethodGet, repository: repository, path: "referrers/" + digest, values: values,
			header: http.Header{"Accept": {string(types.OCIImageIndex)}}, places: r.requests, retries: r.opts.Retries,
		})
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			return nil, false, unless(ok && len(list) == 0 && noReferrers(e.answer), err)
		}
		if mediaTypeOf(resp) != string(types.OCIImageIndex) && len(list) == 0 {
			_ = resp.Body.Close()
			return nil, false, nil // a page for people: the path means nothing to this registry
		}
		raw, err := r.readAll(ctx, resp, maxManifest)
		if err != nil {
			return nil, false, err
		}
		more, err := r.parseReferrers(raw)
		if err != nil {
			return nil, false, err
		}
		list = append(list, more...)
		if len(list) > maxReferrers {
			return nil, false, r.tooLarge(maxManifest)
		}
		next, ok := nextPage(resp.Header.Values("Link"), resp.Request.URL)
		if !ok {
			return list, true, nil
		}
		values = next
	}
	return nil, false, r.tooLarge(maxReferrerPages * maxManifest)
}

func unless(fine bool, err error) error {
	if fine {
		return nil
	}
	return err
}

// noReferrers reports the statuses with which registries answer a path that they do not know.
func noReferrers(status int) bool {
	return status == http.StatusNotFound || status == http.StatusBadRequest || noHead(status)
}

// taggedReferrers reads the referrers tag: the digest with - for : (distribution spec, referrers tag schema).
func (r *registry) taggedReferrers(ctx context.Context, repository, digest string) ([]v1.Descriptor, error) {
	raw, mediaType, err := r.manifest(ctx, repository, strings.Replace(digest, ":", "-", 1))
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if mediaType != string(types.OCIImageIndex) {
		return nil, r.invalid("its referrers tag is not an image index but %q", printable(mediaType))
	}
	return r.parseReferrers(raw)
}

func (r *registry) parseReferrers(raw []byte) ([]v1.Descriptor, error) {
	var index v1.Index
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(&index); err != nil || decoder.More() || index.SchemaVersion != 2 {
		return nil, r.invalid("its list of referrers is not an image index")
	}
	for _, d := range index.Manifests {
		if err := d.Digest.Validate(); err != nil || d.Size <= 0 || d.Size > maxManifest ||
			!isMediaType(d.MediaType) || (d.ArtifactType != "" && !isMediaType(d.ArtifactType)) {
			return nil, r.invalid("its list of referrers holds an entry that is no descriptor")
		}
	}
	return index.Manifests, nil
}

func isMediaType(s string) bool {
	major, minor, ok := strings.Cut(s, "/")
	return ok && major != "" && minor != "" && len(s) <= maxMediaType && printable(s) == s && !strings.Contains(s, " ")
}

// mergeReferrers writes one index: each digest once, of the asked type, without embedded data and foreign URLs.
func (r *registry) mergeReferrers(list []v1.Descriptor, artifactType string) ([]byte, error) {
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: string(types.OCIImageIndex),
		Manifests: []v1.Descriptor{},
	}
	seen := make(map[digest.Digest]bool, len(list))
	for _, d := range list {
		if seen[d.Digest] || (artifactType != "" && d.ArtifactType != artifactType) {
			continue
		}
		seen[d.Digest] = true
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size,
			ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		})
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return nil, r.invalid("writing its referrers: %w", err)
	}
	if len(raw) > maxManifest {
		return nil, r.tooLarge(maxManifest)
	}
	return raw, nil
}
