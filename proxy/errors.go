package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/winnow-registry/winnow/proxy/admission"
)

// An answer is an error with everything the wire needs. Codes are distribution-spec 1.1's ("Error Codes").
type answer struct {
	status  int
	code    string
	message string        // one line for people
	reason  string        // one word for the audit record
	retry   time.Duration // 0: no Retry-After
	denied  *admission.Denied
	warning bool // whether the message is sent as a Warning header too
}

func (a *answer) Error() string { return a.message }

func badRequest(code string, status int, message string) *answer {
	return &answer{code: code, status: status, message: message, reason: strings.ToLower(code)}
}

const (
	// defaultRetry is the Retry-After of an outage whose end nobody knows.
	defaultRetry = 5 * time.Second
	// maxMessage bytes: the length up to which every client shows a message whole.
	maxMessage = 300
	// statusClientGone is recorded, never sent: the client left before its answer (nginx's convention).
	statusClientGone = 499
)

// answerTo says how err is answered. It is the only place that knows.
func (x *exchange) answerTo(err error) *answer {
	var a *answer
	var denied *admission.Denied
	var fault admission.Fault
	var invalid interface {
		StatusCode() int
		Reason() string
	}
	switch {
	case errors.As(err, &a):
		return a
	case errors.As(err, &denied):
		return &answer{
			status: http.StatusForbidden, code: "DENIED", reason: "policy", denied: denied, warning: true,
			message: denied.Sentence(x.whyURL(denied.ID())),
		}
	case x.r.Context().Err() != nil:
		return &answer{status: statusClientGone, code: "UNKNOWN", message: "the client left", reason: "client_gone"}
	case errors.As(err, &fault):
		a = &answer{status: fault.StatusCode(), reason: fault.Reason(), retry: fault.RetryAfter(), message: err.Error()}
	case errors.As(err, &invalid):
		a = &answer{status: invalid.StatusCode(), reason: invalid.Reason(), message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		a = &answer{status: http.StatusServiceUnavailable, reason: "timeout", message: "checking the image took too long"}
	default:
		a = &answer{status: http.StatusInternalServerError, reason: "internal", message: "an internal error; the log has it under id " + x.id}
	}
	a.complete(x.req.Kind)
	return a
}

// complete fills in code and Retry-After from the status.
func (a *answer) complete(kind Kind) {
	a.message = oneLine(a.message, maxMessage)
	switch a.status {
	case http.StatusForbidden:
		a.code, a.warning = "DENIED", true
	case http.StatusNotFound:
		a.code = "NAME_UNKNOWN"
		switch kind {
		case KindManifest:
			a.code = "MANIFEST_UNKNOWN"
		case KindBlob:
			a.code = "BLOB_UNKNOWN"
		}
	case http.StatusTooManyRequests:
		a.code = "TOOMANYREQUESTS"
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		a.code = "UNAVAILABLE"
	default:
		a.code = "UNKNOWN"
	}
	if a.retry <= 0 && (a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests) {
		a.retry = defaultRetry
	}
}

// writeError sends a: one error without detail, since clients print a detail as they print a Go map.
func (x *exchange) writeError(a *answer) {
	if a.status == statusClientGone {
		// Without an answer of ours net/http would send 200, and a client that only closed its sending side reads on.
		panic(http.ErrAbortHandler)
	}
	h := x.w.Header()
	for _, name := range []string{"Etag", "Docker-Content-Digest", "Accept-Ranges"} {
		h.Del(name) // of the content that was to follow
	}
	if a.status != http.StatusRequestedRangeNotSatisfiable {
		h.Del("Content-Range")
	}
	if a.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((a.retry+time.Second-1)/time.Second)))
	}
	if a.warning {
		h.Add("Warning", warning(a.message))
	}
	if a.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="winnow", charset="UTF-8"`)
	}
	if a.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	body := errorBody(a.code, a.message)
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if x.r.Method == http.MethodHead {
		if a.status != http.StatusForbidden || !x.writeReason(a) {
			x.w.WriteHeader(a.status)
		}
		return
	}
	if x.r.ContentLength != 0 { // the body is not read; the connection cannot be used again
		h.Set("Connection", "close")
	}
	x.w.WriteHeader(a.status)
	n, _ := x.w.Write(body)
	x.bytes = int64(n)
}

// writeReason answers a HEAD over HTTP/1.1 with the sentence as reason phrase, the one place where every containerd
// shows it. net/http writes its own phrases, so the connection is taken over, and closed after.
func (x *exchange) writeReason(a *answer) bool {
	if x.r.ProtoMajor != 1 {
		return false
	}
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	h := x.w.Header()
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + ascii(a.message) + "\r\n")
	if h.Write(&b) != nil {
		return true
	}
	b.WriteString("\r\n")
	_ = conn.SetWriteDeadline(time.Now().Add(smallWrite))
	_, _ = conn.Write([]byte(b.String())) // the client is gone if this fails
	return true
}

func errorBody(code, message string) []byte {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Errors []entry `json:"errors"`
	}{[]entry{{code, message}}})
	if err != nil { // two strings can always be written
		return []byte(`{"errors":[{"code":"UNKNOWN","message":""}]}`)
	}
	return body
}

// warning writes text as a Warning header (RFC 7234 section 5.5; distribution-spec 1.1 "Warnings").
func warning(text string) string {
	text = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(ascii(text))
	return `299 - "` + text + `"`
}

// ascii replaces what a header line cannot carry.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}

// oneLine replaces control, format and invalid characters, and cuts at limit bytes on a rune's edge.
func oneLine(s string, limit int) string {
	if len(s) <= limit && isPlain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 || 0x200b <= r && r <= 0x200f ||
			0x202a <= r && r <= 0x202e || 0x2060 <= r && r <= 0x206f || r == 0xfeff || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// isPlain reports whether s is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
