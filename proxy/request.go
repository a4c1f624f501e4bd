package proxy

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/winnow-registry/winnow/proxy/admission"
)

// Kind is what a request asks for.
type Kind string

// The kinds of requests under /v2/. KindOther is what is no pull: it is refused, and on record.
const (
	KindPing      Kind = "ping"
	KindManifest  Kind = "manifest"
	KindBlob      Kind = "blob"
	KindTags      Kind = "tags"
	KindReferrers Kind = "referrers"
	KindOther     Kind = "other"
)

// A Request is a parsed request: everything that is read from URL and Host is read here, once.
type Request struct {
	Kind         Kind
	Reference    admission.Reference // Tag or Digest is set for manifests, Digest for blobs and referrers
	ArtifactType string              // filter of referrers
	N            int                 // page size of tags; 0 is none given
	Last         string              // tag after which a page starts
}

const (
	// maxQuery bytes of a query string: ns, digest-like and paging parameters need some hundreds.
	maxQuery = 4096
	// maxPage is the largest page of tags, and the page when none is asked for.
	maxPage = 1000
)

// parse reads r. The path is taken as sent: nothing is decoded or cleaned, since what would need it is no valid name.
func (n *Names) parse(r *http.Request) (Request, error) {
	req := Request{Kind: KindOther}
	if r.URL.Host != "" || r.URL.Scheme != "" {
		return req, badRequest("UNSUPPORTED", 400, "this is a registry, not a forward proxy")
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok || r.URL.RawPath != "" || strings.Contains(path, "\x00") {
		return req, badRequest("NAME_INVALID", 400, "the path is not that of a registry request")
	}
	name, verb, ref := split(path)
	req.Kind = kindOf(verb, ref)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return req, &answer{code: "UNSUPPORTED", status: http.StatusMethodNotAllowed, message: "this registry is for pulling only", reason: "method"}
	}
	if r.ContentLength != 0 {
		return req, badRequest("UNSUPPORTED", 400, "a pull has no body")
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return req, err
	}
	if req.Kind == KindOther {
		return req, &answer{code: "UNSUPPORTED", status: http.StatusNotFound, message: "there is nothing of that name here", reason: "route"}
	}
	if _, twice := query["ns"]; twice && len(query["ns"]) != 1 {
		return req, badRequest("NAME_INVALID", 400, "ns is given more than once")
	}
	req.Reference.Upstream, req.Reference.Repository, err = n.resolve(query.Get("ns"), query.Has("ns"), r.Host, name)
	if err != nil {
		return req, err
	}
	return req, req.target(ref, query)
}

// target reads what stands after the name, and the parameters.
func (req *Request) target(ref string, query url.Values) (err error) {
	switch req.Kind {
	case KindManifest:
		if strings.Contains(ref, ":") {
			req.Reference.Digest, err = ref, checkDigest(ref)
		} else if req.Reference.Tag = ref; !validTag(ref) {
			err = badRequest("TAG_INVALID", 400, "the tag is not a valid tag")
		}
	case KindBlob:
		req.Reference.Digest, err = ref, checkDigest(ref)
	case KindReferrers:
		req.ArtifactType = query.Get("artifactType")
		req.Reference.Digest, err = ref, checkDigest(ref)
	case KindTags:
		req.N, req.Last, err = paging(query)
	}
	if err != nil { // what is malformed is not part of a reference
		req.Reference.Tag, req.Reference.Digest = "", ""
	}
	return err
}

func paging(query url.Values) (n int, last string, err error) {
	n = maxPage
	if s := query.Get("n"); s != "" {
		if n, err = strconv.Atoi(s); err != nil || n < 0 {
			return 0, "", badRequest("PAGINATION_NUMBER_INVALID", 400, "n is not a number of tags")
		}
		n = min(n, maxPage)
	}
	if last = query.Get("last"); last != "" && !validTag(last) {
		return 0, "", badRequest("TAG_INVALID", 400, "last is not a valid tag")
	}
	return n, last, nil
}

// split takes name/verb/ref apart, from the end, since a repository may be called manifests or blobs.
func split(path string) (name, verb, ref string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", path
	}
	ref = path[i+1:]
	j := strings.LastIndexByte(path[:i], '/')
	if j < 0 {
		return "", path[:i], ref
	}
	return path[:j], path[j+1 : i], ref
}

func kindOf(verb, ref string) Kind {
	switch {
	case verb == "manifests":
		return KindManifest
	case verb == "blobs" && ref != "uploads":
		return KindBlob
	case verb == "tags" && ref == "list":
		return KindTags
	case verb == "referrers":
		return KindReferrers
	case verb == "" && ref == "":
		return KindPing
	}
	return KindOther
}

func parseQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	if len(raw) > maxQuery {
		return nil, badRequest("UNSUPPORTED", 400, "the query is longer than 4 KiB")
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("UNSUPPORTED", 400, "the query is not valid")
	}
	for key, values := range query {
		for _, v := range append(values, key) {
			if strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd }) {
				return nil, badRequest("UNSUPPORTED", 400, "the query holds control characters or invalid UTF-8")
			}
		}
	}
	return query, nil
}
