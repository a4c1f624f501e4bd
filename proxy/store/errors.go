package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// ErrNoSpace is what errors.Is finds when the disk or quota is full and nothing could be evicted.
var ErrNoSpace = errors.New("no space left for the store: free some, or lower store.maxSize")

// Reasons an Error gives, for audit records and metrics.
const (
	ReasonNotFound = "not_found"       // the store does not hold it
	ReasonInvalid  = "invalid_content" // what the source sent is not what its digest and size say
	ReasonTooLarge = "too_large"       // larger than the caller's limit
	ReasonStorage  = "storage"         // disk or object store at fault
	ReasonBadName  = "bad_request"     // a digest or name that no object can have
)

// retryStorage is what a client is told to wait when storage is at fault: long enough for a failover of an object
// store's endpoint, short enough that a pull in a container start-up survives it.
const retryStorage = 5 * time.Second

// An Error decides what a client is told.
type Error struct {
	err    error
	status int
	reason string
}

// Error says what went wrong, in one line.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// StatusCode returns the HTTP status that fits: 400, 404, 502 or 503.
func (e *Error) StatusCode() int { return e.status }

// Reason returns one of the Reason constants.
func (e *Error) Reason() string { return e.reason }

// RetryAfter returns how long to wait before asking again; 0 when waiting will not help.
func (e *Error) RetryAfter() time.Duration {
	if e.status == http.StatusServiceUnavailable {
		return retryStorage
	}
	return 0
}

func notFound(what string) error {
	return &Error{err: fmt.Errorf("%s is not in the store", what), status: http.StatusNotFound, reason: ReasonNotFound}
}

func invalid(format string, args ...any) error {
	return &Error{err: fmt.Errorf(format, args...), status: http.StatusBadGateway, reason: ReasonInvalid}
}

func badName(format string, args ...any) error {
	return &Error{err: fmt.Errorf(format, args...), status: http.StatusBadRequest, reason: ReasonBadName}
}

func tooLarge(what string, size, limit int64) error {
	return &Error{
		err:    fmt.Errorf("%s has %d bytes, more than the %d allowed", what, size, limit),
		status: http.StatusBadGateway, reason: ReasonTooLarge,
	}
}

var errClosed = &Error{err: errors.New("the store is closed"), status: http.StatusServiceUnavailable, reason: ReasonStorage}

// storageFault says what was being done when storage failed. What is absent becomes not found, a context that ended
// stays what it is, and a full disk is also ErrNoSpace.
func storageFault(doing, what string, err error) error {
	err = cause(err)
	if isAbsent(err) {
		return notFound(what)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s %s: %w", doing, what, err)
	}
	if isNoSpace(err) {
		err = errors.Join(ErrNoSpace, err)
		return &Error{
			err:    fmt.Errorf("%s %s: %w", doing, what, oneLine{err}),
			status: http.StatusServiceUnavailable, reason: ReasonStorage,
		}
	}
	return &Error{err: fmt.Errorf("%s %s: %w", doing, what, err), status: http.StatusServiceUnavailable, reason: ReasonStorage}
}

// oneLine keeps a joined error on one line of a log.
type oneLine struct{ error }

// Error gives the first of the joined errors, which is the one written for people.
func (oneLine) Error() string { return ErrNoSpace.Error() }

// Unwrap keeps what was joined within reach of errors.Is.
func (e oneLine) Unwrap() error { return e.error }

// cause looks through distribution's envelope, which does not unwrap.
func cause(err error) error {
	for {
		var envelope storagedriver.Error
		if !errors.As(err, &envelope) || envelope.Detail == nil {
			return err
		}
		err = envelope.Detail
	}
}

func isAbsent(err error) bool {
	var absent storagedriver.PathNotFoundError
	return errors.As(err, &absent) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, ErrNoSpace)
}

// isNotFound tells whether an error of this package says that the store does not hold an object.
func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.status == http.StatusNotFound
}
