package upstream

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	maxRetryWait = 5 * time.Minute // the longest Retry-After that is believed
	defaultQuiet = 5 * time.Second // after a 429 that names no time
)

// check maps a final response to an Error, or to nil when it is to be read. moved says that it is not the registry's
// own: storage that refuses a signed URL says nothing about the image.
func (r *registry) check(resp *http.Response, moved bool) error {
	e := r.checkStatus(resp, moved)
	if e != nil {
		e.answer = resp.StatusCode
		return e
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		r.count.refused(r.name, reasonInvalidContent)
		return r.invalid("Content-Encoding %q, which was not asked for", printable(encoding))
	}
	return nil
}

func (r *registry) checkStatus(resp *http.Response, moved bool) *Error {
	status := resp.StatusCode
	said := diagnosis(resp)
	switch {
	case status == http.StatusOK, status == http.StatusPartialContent && resp.Request.Header.Get("Range") != "":
		return nil
	case status == http.StatusTooManyRequests:
		return r.limited(resp)
	case status >= 500 && status != http.StatusNotImplemented, moved && status/100 == 4, status == http.StatusRequestTimeout:
		e := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "it answers %s", said)
		e.again, e.Retry = true, retryAfter(resp.Header, time.Now(), 0)
		return e
	case status == http.StatusNotFound, status == http.StatusGone:
		return r.fault(http.StatusNotFound, reasonNotFound, "it answers %s", said)
	case status == http.StatusUnauthorized:
		return r.unauthorized(resp)
	case status == http.StatusForbidden, status == http.StatusUnavailableForLegalReasons:
		return r.fault(http.StatusForbidden, reasonForbidden, "it answers %s", said)
	}
	return r.invalid("it answers %s", said)
}

// diagnosis returns the status and the first error of a registry's error body, fit for one line.
func diagnosis(resp *http.Response) string {
	text := strconv.Itoa(resp.StatusCode)
	if resp.StatusCode < 400 || resp.Request.Method == http.MethodHead {
		return text
	}
	if e, ok := errors.AsType[*transport.Error](transport.CheckError(resp)); ok && len(e.Errors) > 0 {
		return text + " " + printable(string(e.Errors[0].Code)+" "+e.Errors[0].Message)
	}
	return text
}

// limited notes a 429 and makes its Error.
func (r *registry) limited(resp *http.Response) *Error {
	wait := retryAfter(resp.Header, time.Now(), defaultQuiet)
	r.health.hush(wait)
	e := r.fault(http.StatusTooManyRequests, reasonRateLimited, "it limits our rate")
	e.Retry = wait
	return e
}

// retryAfter reads Retry-After, in seconds or as a date (RFC 9110, section 10.2.3). What is absurd is capped; what
// cannot be read, or is past, is the fallback.
func retryAfter(h http.Header, now time.Time, fallback time.Duration) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, maxRetryWait.Seconds()) * float64(time.Second))
	}
	if date, err := http.ParseTime(text); err == nil && date.After(now) {
		return min(date.Sub(now), maxRetryWait)
	}
	return fallback
}
