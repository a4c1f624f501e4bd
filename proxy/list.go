package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// tags answers tags/list (distribution-spec 1.1 "Listing Tags"). The list is the upstream's: a tag that is listed may
// still be refused.
func (x *exchange) tags() error {
	ref := x.req.Reference
	var names []string
	var more bool
	if x.req.N > 0 {
		var err error
		if names, more, err = x.h.Gate.TagList(x.r.Context(), ref, x.req.N, x.req.Last); err != nil {
			return err
		}
	}
	if names == nil {
		names = []string{}
	}
	name := strings.TrimSuffix(strings.TrimPrefix(x.r.URL.Path, "/v2/"), "/tags/list")
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, names})
	if err != nil {
		return fmt.Errorf("writing the list of tags: %w", err)
	}
	if more && len(names) > 0 {
		next := url.Values{"n": {strconv.Itoa(x.req.N)}, "last": {names[len(names)-1]}}
		if ns := x.r.URL.Query().Get("ns"); ns != "" {
			next.Set("ns", ns)
		}
		x.w.Header().Set("Link", "<"+x.r.URL.Path+"?"+next.Encode()+`>; rel="next"`)
	}
	return x.listing("application/json", body)
}

// referrers answers referrers/<digest> (distribution-spec 1.1 "Listing Referrers").
func (x *exchange) referrers() error {
	body, filtered, err := x.h.Gate.Referrers(x.r.Context(), x.req.Reference, x.req.ArtifactType)
	if err != nil {
		return err
	}
	if filtered && x.req.ArtifactType != "" {
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return x.listing("application/vnd.oci.image.index.v1+json", body)
}

func (x *exchange) listing(contentType string, body []byte) error {
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.record.Decision = "admit"
	x.record.Policy, x.record.Epoch = x.h.Gate.Revision(), x.h.Gate.Epoch()
	if err := x.decided(http.StatusOK, x.r.Method == http.MethodGet); err != nil {
		return err
	}
	return x.small(body)
}
