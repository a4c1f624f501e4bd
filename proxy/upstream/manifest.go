package upstream

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// A Descriptor is what a tag led to.
type Descriptor struct {
	Digest    string // sha256
	MediaType string // without parameters
	Size      int64
}

// acceptManifests lists what may be served. Schema 1 is not among it: it would have to be converted, and what is
// served would not be what was pushed.
func acceptManifests() string {
	return strings.Join([]string{
		string(types.OCIImageIndex), string(types.OCIManifestSchema1),
		string(types.DockerManifestList), string(types.DockerManifestSchema2),
	}, ", ")
}

// Resolve returns what a tag means at this moment: from the headers of a HEAD where they say all of it, else from
// the manifest itself.
func (c *Client) Resolve(ctx context.Context, upstream, repository, tag string) (Descriptor, error) {
	r, ctx, cancel, err := c.call(ctx, upstream)
	if err != nil {
		return Descriptor{}, err
	}
	defer cancel()
	if !isTag(tag) {
		return Descriptor{}, r.fault(http.StatusBadRequest, reasonInvalidName, "not a tag: %q", printable(tag))
	}
	resp, err := r.do(ctx, r.manifestQuery(http.MethodHead, repository, tag))
	if err == nil {
		_ = resp.Body.Close()
		d, usable, err := r.described(resp)
		if err != nil || usable {
			return d, err
		}
	} else if e, ok := errors.AsType[*Error](err); !ok || !noHead(e.answer) {
		return Descriptor{}, err
	}
	raw, mediaType, err := r.manifest(ctx, repository, tag)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{Digest: digest.FromBytes(raw).String(), MediaType: mediaType, Size: int64(len(raw))}, nil
}

// noHead reports the statuses with which registries say that they do not know HEAD.
func noHead(status int) bool {
	return status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// described reads a descriptor from headers, if they hold a whole one.
func (r *registry) described(resp *http.Response) (Descriptor, bool, error) {
	if resp.ContentLength > maxManifest {
		return Descriptor{}, false, r.tooLarge(maxManifest)
	}
	d, ok := parseDigest(resp.Header.Get("Docker-Content-Digest"))
	mediaType := mediaTypeOf(resp)
	if !ok || d.Algorithm() != digest.SHA256 || resp.ContentLength <= 0 || mediaType == "" {
		return Descriptor{}, false, nil
	}
	return Descriptor{Digest: d.String(), MediaType: mediaType, Size: resp.ContentLength}, true, nil
}

// Manifest returns a manifest's bytes, at most 4 MiB, and its media type as the upstream names it, without
// parameters. ref is a tag or a digest; bytes asked for by digest have it.
func (c *Client) Manifest(ctx context.Context, upstream, repository, ref string) (raw []byte, mediaType string, err error) {
	r, ctx, cancel, err := c.call(ctx, upstream)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	return r.manifest(ctx, repository, ref)
}

func (r *registry) manifest(ctx context.Context, repository, ref string) ([]byte, string, error) {
	want, byDigest := parseDigest(ref)
	if !byDigest && !isTag(ref) {
		return nil, "", r.fault(http.StatusBadRequest, reasonInvalidName, "neither a tag nor a digest: %q", printable(ref))
	}
	resp, err := r.do(ctx, r.manifestQuery(http.MethodGet, repository, ref))
	if err != nil {
		return nil, "", err
	}
	raw, err := r.readAll(ctx, resp, maxManifest)
	if err != nil {
		return nil, "", err
	}
	if byDigest && want.Algorithm().FromBytes(raw) != want {
		return nil, "", r.mismatch("the bytes it gives for %s have another digest", want)
	}
	// Registries without the header are fine. One that names a digest which its bytes do not have is lying to
	// those who believe headers, whatever was asked for.
	if said, ok := parseDigest(resp.Header.Get("Docker-Content-Digest")); ok && said.Algorithm().FromBytes(raw) != said {
		return nil, "", r.mismatch("it says that its bytes are %s, and they are not", said)
	}
	return raw, mediaTypeOf(resp), nil
}

// mismatch notes wrong bytes. They count against the host's circuit as a failure does.
func (r *registry) mismatch(format string, args ...any) *Error {
	host, port := hostPort(r.base)
	r.note(host+":"+port, r.health.breaker(host+":"+port), outcomeFault)
	r.count.refused(r.name, reasonInvalidContent)
	return r.invalid(format, args...)
}

func (r *registry) manifestQuery(method, repository, ref string) query {
	return query{
		kind: "manifest", method: method, repository: repository, path: "manifests/" + ref,
		header: http.Header{"Accept": {acceptManifests()}}, places: r.requests, retries: r.opts.Retries,
	}
}

// mediaTypeOf returns the media type of a response without parameters, "" where there is none to read.
func mediaTypeOf(resp *http.Response) string {
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}
