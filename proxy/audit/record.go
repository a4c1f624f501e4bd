package audit

import "time"

// Events of a pull and of the daemon that the callers of this package record.
const (
	EventDecided   = "pull.decided"     // before the first content byte
	EventCompleted = "pull.completed"   // how the answer ended; the same id as its decided record
	EventReloaded  = "policy.reloaded"  // another policy revision is in force
	EventBypass    = "bypass.suspected" // a client seems to have got elsewhere what was refused here
)

// Events that the log records about itself. Their Reason is for people, except that an EventClosed without a Reason
// says that no pull was in flight.
const (
	EventOpened     = "audit.opened"     // a process began to write
	EventClosed     = "audit.closed"     // it ended in order
	EventRecovered  = "audit.recovered"  // a torn tail was cut off and kept aside
	EventSettled    = "audit.settled"    // pulls that a crash had interrupted have their completed record now
	EventTruncated  = "audit.truncated"  // records that had been written are missing
	EventRestored   = "audit.restored"   // the segment was unlinked or renamed under the log and is back
	EventSuspect    = "audit.suspect"    // the segment before was sealed; its lines from this seq on do not count
	EventResumed    = "audit.resumed"    // the log can be written again
	EventClockMoved = "audit.clockMoved" // the wall clock jumped
)

// Decisions of a record. Every other word is treated like DecisionAdmit where it matters: as something that would
// serve content and must not without a durable record.
const (
	DecisionAdmit = "admit"
	DecisionSlim  = "slim"
	DecisionDeny  = "deny"
	DecisionError = "error"
)

// ReasonInterrupted is the reason of the completed record that a pull gets when a crash left it without one.
const ReasonInterrupted = "unknown: interrupted"

// Genesis is the Prev of the first record of all.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// A Record is one line of the log. Every field is always written, in this order.
type Record struct {
	Seq        uint64    `json:"seq"`  // set by the log: 1, 2, 3, … over segments and restarts
	Time       time.Time `json:"time"` // UTC, microseconds; the log sets a zero one
	Event      string    `json:"event"`
	ID         string    `json:"id"` // of the request
	Client     Client    `json:"client"`
	Requested  string    `json:"requested"` // the reference as asked for, e.g. docker.io/library/nginx:1.27
	Method     string    `json:"method"`
	Kind       string    `json:"kind"` // manifest, blob or referrers
	Digest     Digest    `json:"digest"`
	Decision   string    `json:"decision"` // admit, slim, deny or error
	Rules      []string  `json:"rules"`    // ids of the rules that were broken
	Exemptions []string  `json:"exemptions"`
	Policy     string    `json:"policy"` // revision
	Epoch      string    `json:"epoch"`  // of the advisories
	Cached     bool      `json:"cached"`
	Stale      bool      `json:"stale"`
	Status     int       `json:"status"`
	Bytes      int64     `json:"bytes"`
	Millis     int64     `json:"millis"`
	Reason     string    `json:"reason"`
	Prev       string    `json:"prev"` // set by the log
}

// A Client is who asked.
type Client struct {
	IP    string `json:"ip"`
	User  string `json:"user"`
	Agent string `json:"agent"`
}

// A Digest is what the reference led to and what was served for it.
type Digest struct {
	Resolved string `json:"resolved"`
	Served   string `json:"served"`
}

// givesNothing reports whether the record is about an answer without content, which is safe to give unrecorded.
func (r *Record) givesNothing() bool {
	return r.Decision == DecisionDeny || r.Decision == DecisionError
}
