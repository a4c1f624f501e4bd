package audit

import (
	"errors"
	"time"
)

// Unavailable is why the log cannot be written. It is the 503 of a request that cannot be recorded.
type Unavailable struct {
	err error
}

// Error says what failed.
func (u *Unavailable) Error() string { return "audit log unavailable: " + u.err.Error() }

// Unwrap returns the fault itself.
func (u *Unavailable) Unwrap() error { return u.err }

// StatusCode returns 503.
func (u *Unavailable) StatusCode() int { return 503 }

// RetryAfter returns how soon trying again makes sense: the log itself tries every second.
func (u *Unavailable) RetryAfter() time.Duration { return 5 * time.Second }

// Reason returns audit_unavailable.
func (u *Unavailable) Reason() string { return "audit_unavailable" }

var errClosed = &Unavailable{errors.New("it is closed")}
