package cache

import (
	"context"
	"errors"
	"time"
)

// The answers of a backend that callers tell apart; every other error is a fault of the backend.
var (
	ErrMiss = errors.New("not remembered")
	ErrHeld = errors.New("lease is held by another")
	ErrLost = errors.New("lease was lost to another")
)

// MaxValue bounds one value, in bytes: what is larger is not written, and read as a miss without being loaded. The largest
// real one is a verdict with every violation of a big image, some hundred kilobytes.
const MaxValue = 1 << 20

// MaxMembers bounds the members of one set: how many manifests of a repository may share a layer and be remembered for
// it. One is enough for the layer to be served.
const MaxMembers = 64

// Backend is what a place that remembers offers to Cache: bytes under names. Redis and Embedded are the two, and package
// cachetest holds the suite that both pass. A backend is not trusted with the bytes: Cache seals them.
type Backend interface {
	Values
	Leases
	Notices
}

// Values are single values, each with the fence it was written under, and small sets of named members.
type Values interface {
	// Get returns the value of key. ErrMiss: there is none, or what is there is no value of ours.
	Get(ctx context.Context, key string) (Entry, error)
	// Members returns the members of the set key; ErrMiss as for Get.
	Members(ctx context.Context, key string) (map[string][]byte, error)
	// Write stores in one round trip. It returns how many were refused since a newer fence has been there before.
	Write(ctx context.Context, writes ...Write) (refused int, err error)
}

// Entry is a value as it was written.
type Entry struct {
	Value []byte
	Fence uint64
}

// A Write stores Value under Key, or as one member of the set Key when Member is not empty.
type Write struct {
	Key    string
	Member string
	Value  []byte
	TTL    time.Duration // more than zero
	// Fence orders the writers of a value: an older one does not replace a newer one. Fences are times in microseconds
	// (see Leases), so they compare across backends, restarts and a flushed Redis. Sets have none.
	Fence uint64
	// Replace stores whatever the fence of what is there: for a value that turned out not to be ours.
	Replace bool
	// Notice is published when the write took effect; empty = nothing is.
	Notice string
}

// Leases lend a name to one owner at a time.
type Leases interface {
	// Take lends key to owner for ttl and returns a fence: larger than any that was given for key before, and not less
	// than the time now in microseconds. ErrHeld: another has it.
	Take(ctx context.Context, key, owner string, ttl time.Duration) (fence uint64, err error)
	// Renew extends the lease, or takes it again when it ended and nobody has it. ErrLost: another has it.
	Renew(ctx context.Context, key, owner string, ttl time.Duration) error
	// Drop gives the lease back, if owner still has it, and publishes notice.
	Drop(ctx context.Context, key, owner, notice string) error
}

// Notices are short messages to every replica. They may be lost.
type Notices interface {
	// Subscribe calls receive for each message, and joined whenever messages may have been lost before and are not from
	// here on, until ctx ends. It returns early only when the connection breaks.
	Subscribe(ctx context.Context, joined func(), receive func(message string)) error
}
