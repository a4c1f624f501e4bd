package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// schema is the version of what is sealed. An entry of another version is a miss, so that two releases can share one
// Redis; it changes with the meaning of any remembered type.
const schema = 1

// What stands before the payload: schema, when the entry ends (Unix milliseconds), the MAC.
const (
	macAt     = 1 + 8
	payloadAt = macAt + sha256.Size
)

var (
	errSeal    = errors.New("seal does not verify")
	errExpired = errors.New("entry has expired")
)

// A sealer seals entries with HMAC-SHA256. The MAC covers the name of the entry, its fence and when it ends besides the
// payload: a value that was moved to another digest, scope, revision, repository or kind, or kept alive, does not verify.
type sealer struct{ key []byte }

// A name is where an entry stands: what a seal binds it to.
type name struct {
	key    string
	member string // of a set
	fence  uint64
}

func (s sealer) mac(n name, head, payload []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	b := make([]byte, 0, 64+len(n.key)+len(n.member))
	b = append(b, "winnow cache entry\x00"...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(n.key)))
	b = append(b, n.key...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(n.member)))
	b = append(b, n.member...)
	b = binary.BigEndian.AppendUint64(b, n.fence)
	b = append(b, head...)
	m.Write(b)
	m.Write(payload)
	return m.Sum(nil)
}

// seal returns payload sealed under n until expires.
func (s sealer) seal(n name, expires time.Time, payload []byte) []byte {
	b := make([]byte, macAt, payloadAt+len(payload))
	b[0] = schema
	binary.BigEndian.PutUint64(b[1:], uint64(expires.UnixMilli()))
	b = append(b, s.mac(n, b, payload)...)
	return append(b, payload...)
}

// open returns what was sealed under n. The payload is a part of sealed.
func (s sealer) open(n name, sealed []byte, now time.Time) (payload []byte, expires time.Time, err error) {
	if len(sealed) < payloadAt || sealed[0] != schema {
		return nil, time.Time{}, errSeal
	}
	payload = sealed[payloadAt:]
	if !hmac.Equal(s.mac(n, sealed[:macAt], payload), sealed[macAt:payloadAt]) {
		return nil, time.Time{}, errSeal
	}
	expires = time.UnixMilli(int64(binary.BigEndian.Uint64(sealed[1:])))
	if !now.Before(expires) {
		return nil, time.Time{}, errExpired
	}
	return payload, expires, nil
}
