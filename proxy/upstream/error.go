package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Reasons that an [Error] carries: short stable words for audit records and metrics.
const (
	reasonNotFound        = "not_found"        // the upstream does not have it
	reasonForbidden       = "forbidden"        // the upstream refuses us this repository
	reasonAuth            = "upstream_auth"    // the configured credentials do not work
	reasonRateLimited     = "rate_limited"     // the upstream said 429 a moment ago
	reasonInvalidContent  = "invalid_content"  // the answer contradicts itself, its digest or its size
	reasonTooLarge        = "too_large"        // the answer is beyond a limit
	reasonUnavailable     = "unavailable"      // unreachable, failing, or too slow
	reasonTLS             = "tls"              // the certificate or the handshake is not acceptable
	reasonRefusedRedirect = "refused_redirect" // it sent us where it may not
	reasonRefusedRealm    = "refused_realm"    // it named a token server that it may not
	reasonRefusedAddress  = "refused_address"  // its name resolves to an address that is not allowed
	reasonUnknownUpstream = "unknown_upstream" // not in the list
	reasonInvalidName     = "invalid_name"     // not a repository, tag or digest
)

// maxDiagnostic bounds what an upstream's own words add to a message: enough for a sentence, not for a page.
const maxDiagnostic = 200

// An Error says why an upstream did not give what was asked for, and how that is answered to a client.
type Error struct {
	Status   int           // 400, 403, 404, 429, 502 (the upstream's fault) or 503 (an outage)
	Code     string        // the reason, e.g. not_found, forbidden, upstream_auth, rate_limited, invalid_content
	Retry    time.Duration // when asking again may help; 0 = unknown
	Upstream string        // the name clients use
	Err      error         // what happened; free of secrets and of signed URLs

	answer int  // the upstream's own status, 0 when there was none
	again  bool // asking again at once may help
}

// Error returns the upstream's name and what happened.
func (e *Error) Error() string { return "upstream " + e.Upstream + ": " + e.Err.Error() }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the HTTP status that a client is answered with. It is never 401: a client would offer its own
// credentials.
func (e *Error) StatusCode() int { return e.Status }

// RetryAfter returns when asking again may help; 0 means unknown.
func (e *Error) RetryAfter() time.Duration { return e.Retry }

// Reason returns a short stable word for audit records and metrics.
func (e *Error) Reason() string { return e.Code }

// fault makes an Error of this registry.
func (r *registry) fault(status int, reason, format string, args ...any) *Error {
	return &Error{Status: status, Code: reason, Upstream: r.name, Err: fmt.Errorf(format, args...)}
}

// invalid makes the Error for an answer that cannot be right.
func (r *registry) invalid(format string, args ...any) *Error {
	return r.fault(http.StatusBadGateway, reasonInvalidContent, format, args...)
}

// networkFault turns what a round trip or a read returned into an Error. The end of the caller's own context is
// returned as it is: it says nothing about the upstream.
func (r *registry) networkFault(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s at upstream %s: %w", doing, r.name, context.Cause(ctx))
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*refusedDialError](err); ok {
		return r.fault(http.StatusBadGateway, reasonRefusedAddress, "%s: %w", doing, e)
	}
	if isTLS(err) {
		return r.fault(http.StatusBadGateway, reasonTLS, "%s: %w", doing, err)
	}
	e := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "%s: %w", doing, err)
	e.again = !isTimeout(err) && !isNoSuchHost(err)
	return e
}

// isTLS reports whether err is about certificates or the handshake: asking again does not help, and falling back to
// anything weaker is not done.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	// net/http and crypto/tls have no types for these; both start their text this way.
	text := err.Error()
	return strings.Contains(text, "server gave HTTP response to HTTPS client") || strings.Contains(text, "tls: ")
}

// printable returns s fit for one line of a message: no control or format characters, bounded.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxDiagnostic {
		s = string(runes[:maxDiagnostic]) + "…"
	}
	return s
}
