package admission

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/winnow-registry/winnow/policy"
)

// A Fault is an error that decides the answer to a client. Upstream and store return such errors.
type Fault interface {
	error
	StatusCode() int           // 403, 404, 429, 502 or 503
	RetryAfter() time.Duration // 0: not known
	Reason() string            // a short stable word for audit records, e.g. upstream_auth
}

// statusOf returns the status an error asks for, or 0.
func statusOf(err error) int {
	var f interface{ StatusCode() int }
	if errors.As(err, &f) {
		return f.StatusCode()
	}
	return 0
}

// Denied says that policy refuses an image.
type Denied struct {
	Reference policy.Reference // as it was asked for, with the digest it led to
	Verdict   *policy.Verdict
	Cached    bool // whether the verdict was remembered
	Stale     bool // whether the tag's resolution was
}

func (e *Denied) Error() string {
	return fmt.Sprintf("policy refuses %s", e.Reference)
}

// Pending says that the verdict is still being made; the work goes on, and asking again after After joins it.
type Pending struct{ After time.Duration }

func (e *Pending) Error() string             { return "the image is still being checked" }
func (e *Pending) StatusCode() int           { return http.StatusTooManyRequests }
func (e *Pending) RetryAfter() time.Duration { return e.After }
func (e *Pending) Reason() string            { return "verdict_pending" }

// fault is a Fault of the gate's own.
type fault struct {
	status  int
	reason  string
	message string
	retry   time.Duration
}

func (e *fault) Error() string             { return e.message }
func (e *fault) StatusCode() int           { return e.status }
func (e *fault) RetryAfter() time.Duration { return e.retry }
func (e *fault) Reason() string            { return e.reason }

// The answers that need no detail. ErrBlobUnknown is also the answer for a blob that exists and that no admitted
// manifest of the repository lists: to the client there is no difference.
var (
	ErrBlobUnknown     = &fault{status: http.StatusNotFound, reason: "blob_unknown", message: "no admitted image of this repository has this blob"}
	ErrManifestUnknown = &fault{status: http.StatusNotFound, reason: "manifest_unknown", message: "the upstream does not have this manifest"}
	ErrBusy            = &fault{status: http.StatusServiceUnavailable, reason: "busy", message: "too many images are being checked at once", retry: 5 * time.Second}
)

// ID names the refusal: the same for one image and revision on every replica and try.
func (e *Denied) ID() string { return policy.WhyID(e.Verdict) }

// Sentence is what a client shows: one line, rule id first, the address of the page that explains it, whyURL, last. An
// image that was named by a tag is called by it, as in what the client was told to pull.
func (e *Denied) Sentence(whyURL string) string {
	ref := e.Reference
	if ref.Tag != "" {
		ref.Digest = ""
	}
	return policy.Refusal(e.Verdict, ref, whyURL)
}
