package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/winnow-registry/winnow/proxy/admission"
)

// manifest answers GET and HEAD of a manifest; both take the same way.
func (x *exchange) manifest() error {
	get := x.r.Method == http.MethodGet
	a, err := x.h.Gate.Admit(x.r.Context(), x.req.Reference, x.who, get)
	if err != nil {
		return err
	}
	x.judged(a.Reference, a.Verdict, a.Cached, a.Stale)
	x.record.Digest.Resolved, x.record.Digest.Served = a.Resolved, a.Reference.Digest
	if !accepts(x.r.Header["Accept"], a.MediaType) {
		return &answer{
			status: http.StatusNotFound, code: "MANIFEST_UNKNOWN", reason: "not_acceptable",
			message: "the manifest is of type " + a.MediaType + ", which the Accept header does not list",
		}
	}
	etag := `"` + a.Reference.Digest + `"`
	h := x.w.Header()
	values := []string{etag, a.Reference.Digest, a.MediaType, strconv.FormatInt(a.Size, 10)} // one allocation, not four
	h["Etag"], h["Docker-Content-Digest"] = values[0:1:1], values[1:2:2]
	x.warn(a.Verdict, a.Reference)
	if matches(x.r.Header["If-None-Match"], etag) {
		if err := x.decided(http.StatusNotModified, false); err != nil {
			return err
		}
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"], h["Content-Length"] = values[2:3:3], values[3:4:4]
	if err := x.decided(http.StatusOK, get); err != nil {
		return err
	}
	return x.small(a.Body)
}

// small sends an answer that is at hand whole.
func (x *exchange) small(body []byte) error {
	x.w.WriteHeader(x.status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	n, err := x.w.Write(body)
	x.bytes = int64(n)
	return err
}

// warn tells of violations that do not change the answer.
func (x *exchange) warn(v *admission.Verdict, ref admission.Reference) {
	for _, violation := range v.Violations {
		if violation.Exemption == "" && !violation.AuditOnly {
			text := oneLine(violation.Rule+": "+ref.Name()+" "+violation.Message, maxMessage)
			x.w.Header().Add("Warning", warning(text))
		}
	}
}

// accepts reports whether a client that sent these Accept headers takes mediaType. Quality values do not matter, since
// there is one representation only; a client that sent none takes it (RFC 9110 section 12.5.1).
func accepts(headers []string, mediaType string) bool {
	if len(headers) == 0 {
		return true
	}
	empty := true
	for _, h := range headers {
		for h != "" {
			var entry string
			entry, h, _ = strings.Cut(h, ",")
			entry, _, _ = strings.Cut(entry, ";")
			entry = strings.TrimSpace(entry)
			if entry == "*/*" || entry == "application/*" || strings.EqualFold(entry, mediaType) {
				return true
			}
			empty = empty && entry == ""
		}
	}
	return empty
}

// matches reports whether an If-None-Match header names etag (RFC 9110 section 13.1.2).
func matches(headers []string, etag string) bool {
	for _, h := range headers {
		for h != "" {
			var entry string
			entry, h, _ = strings.Cut(h, ",")
			if entry = strings.TrimPrefix(strings.TrimSpace(entry), "W/"); entry == etag || entry == "*" {
				return true
			}
		}
	}
	return false
}
