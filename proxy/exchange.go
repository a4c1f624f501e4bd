package proxy

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/proxy/admission"
	"github.com/winnow-registry/winnow/proxy/audit"
)

const (
	// smallWrite is how long a client may take for an answer that fits into one packet or a few.
	smallWrite = 30 * time.Second
	// slowestRate is what a client must at least read of a blob, bytes a second, over the whole of it: below, a handful
	// of connections could be held for weeks.
	slowestRate = 8 << 10
)

// An exchange is one request and its answer. Everything that is recorded of it is gathered here.
type exchange struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	req   Request
	id    string
	start time.Time
	who   admission.Requester

	record   audit.Record // of the decision; completed from it
	recorded bool         // whether the decision is on record
	status   int
	bytes    int64
	cause    error // of an answer 500 or of a cut-off stream, for the log

	fields [maxFields]zap.Field // of the log line; here they cost no allocation
}

// maxFields of a log line: nine that each has, and user, reason and error.
const maxFields = 12

func (h *Handler) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x, ok := h.exchanges.Get().(*exchange)
	if !ok {
		x = &exchange{}
	}
	x.h, x.w, x.r, x.id, x.start = h, w, r, newID(), time.Now()
	x.who = admission.Requester{IP: peer(r.RemoteAddr), Agent: r.UserAgent()}
	h.metrics.active.Inc()
	return x
}

// newID names a request: 64 random bits, unique among those that an auditor looks at together.
func newID() string {
	var b [8]byte
	var text [2 * len(b)]byte
	binary.LittleEndian.PutUint64(b[:], rand.Uint64())
	hex.Encode(text[:], b[:])
	return string(text[:])
}

// peer is the address of the socket. Headers that claim another are not believed.
func peer(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// judged notes what the gate said.
func (x *exchange) judged(ref admission.Reference, v *admission.Verdict, cached, stale bool) {
	r := &x.record
	r.Decision = string(v.Decision)
	if len(v.Violations) > 0 {
		r.Rules, r.Exemptions = v.Rules(), v.Exemptions()
	}
	r.Policy, r.Epoch = v.Revision, v.Epoch
	r.Cached, r.Stale = cached, stale
	if v.WouldBe != "" {
		r.Reason = "mode audit: would be " + string(v.WouldBe)
	}
	if v.Decision == "admit" && v.SlimDigest == "" && len(x.record.Digest.Resolved) == 0 {
		r.Digest.Resolved = ref.Digest
	}
}

// decided puts the decision on record before the answer begins. With content, it returns only once the record is
// durable; without, the record is queued in order. Its error means that nothing may be served.
func (x *exchange) decided(status int, content bool) error {
	x.status = status
	x.fill(audit.EventDecided)
	defer patient(x.w)
	var err error
	if content {
		// Also for a client that has left by now: the record is queued, and there must be one only.
		err = x.h.Audit.Decided(context.WithoutCancel(x.r.Context()), &x.record)
	} else {
		err = x.h.Audit.Append(&x.record)
	}
	if err != nil {
		return err
	}
	x.recorded = true
	return nil
}

// patient gives a client the time for a small answer, whatever it is: one that does not read must not hold a connection
// for ever. Not every writer has a deadline.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(smallWrite))
}

// fill completes the record for event, which is now.
func (x *exchange) fill(event string) (took time.Duration) {
	now := time.Now()
	took = now.Sub(x.start)
	r := &x.record
	r.Event, r.ID, r.Method, r.Kind = event, x.id, x.r.Method, string(x.req.Kind)
	r.Client = audit.Client{IP: x.who.IP, User: x.who.User, Agent: x.who.Agent}
	r.Status, r.Bytes, r.Millis = x.status, x.bytes, took.Milliseconds()
	r.Time = now
	if r.Requested == "" {
		if x.req.Reference.Repository != "" {
			r.Requested = x.req.Reference.String()
		} else {
			r.Requested = x.r.URL.Path
		}
	}
	return took
}

// fail answers err, unless the answer has begun: then the connection is cut, so that nobody takes it for complete.
func (x *exchange) fail(err error) {
	if x.recorded {
		x.cause = err
		x.record.Reason = "aborted: " + oneLine(err.Error(), maxMessage)
		panic(http.ErrAbortHandler)
	}
	a := x.answerTo(err)
	if a.status == http.StatusInternalServerError {
		x.cause = err
	}
	if x.record.Decision = audit.DecisionError; a.status == http.StatusForbidden {
		x.record.Decision = audit.DecisionDeny
	}
	x.record.Reason, x.record.Digest.Served = a.reason, ""
	switch {
	case a.denied != nil:
		d := a.denied
		x.judged(d.Reference, d.Verdict, d.Cached, d.Stale)
		x.record.Decision, x.record.Digest.Resolved = audit.DecisionDeny, d.Reference.Digest
		x.record.Reason = cmp.Or(d.Verdict.Reason, a.message)
	case a.status >= http.StatusInternalServerError:
		x.record.Reason = a.reason + ": " + a.message
	}
	// A refusal is on record before it is answered, but it gives nothing away: where it cannot be recorded it is answered
	// all the same, and the log counts it.
	_ = x.decided(a.status, true)
	x.writeError(a)
}

// end records how the exchange went. It runs however the handler ended.
func (x *exchange) end() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		x.cause = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		x.record.Reason = "panic"
		if !x.recorded {
			x.status = http.StatusInternalServerError
			x.record.Decision = audit.DecisionError
			_ = x.decided(x.status, false)
			x.writeError(badRequest("UNKNOWN", x.status, "an internal error; the log has it under id "+x.id))
		}
	}
	took := x.fill(audit.EventCompleted)
	if err := x.h.Audit.Append(&x.record); err != nil && x.cause == nil {
		x.cause = err
	}
	x.h.metrics.done(x.req.Kind, x.status, x.bytes, took)
	x.log(took)
	if p != nil {
		panic(http.ErrAbortHandler)
	}
	h := x.h
	*x = exchange{}
	h.exchanges.Put(x)
}

// log writes the one line of this request.
func (x *exchange) log(took time.Duration) {
	level := zap.InfoLevel
	if x.cause != nil && !errors.Is(x.cause, context.Canceled) {
		level = zap.WarnLevel
	}
	line := x.h.Log.Check(level, "request")
	if line == nil {
		return
	}
	fields := append(x.fields[:0], zap.String("id", x.id), zap.String("client", x.who.IP), zap.String("method", x.r.Method),
		zap.String("kind", string(x.req.Kind)), zap.String("requested", oneLine(x.record.Requested, maxMessage)),
		zap.Int("status", x.status), zap.String("decision", x.record.Decision), zap.Int64("bytes", x.bytes),
		zap.Float64("ms", float64(took.Microseconds())/1000))
	if x.who.User != "" {
		fields = append(fields, zap.String("user", x.who.User))
	}
	if x.record.Reason != "" {
		fields = append(fields, zap.String("reason", x.record.Reason))
	}
	if x.cause != nil {
		fields = append(fields, zap.Error(x.cause))
	}
	line.Write(fields...)
}

// whyURL is where people read about a refusal.
func (x *exchange) whyURL(id string) string {
	base := x.h.PublicURL
	if base == "" {
		scheme := "http://"
		if x.r.TLS != nil {
			scheme = "https://"
		}
		base = scheme + safeHost(x.r.Host)
	}
	return base + "/why/" + id
}

// safeHost returns host if it can stand in a URL and a header, else a name that says where to look.
func safeHost(host string) string {
	if host == "" || len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-:[]", r))
	}) {
		return "winnow"
	}
	return host
}
