package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Lengths beyond which a field is cut, in bytes before escaping. Clients choose most of these strings, and a record
// must stay small enough that nobody can fill the disk with a few requests.
const (
	maxWord = 256  // identifiers, digests, names of events, the client's agent
	maxText = 1024 // references and reasons: a repository name may have 255 bytes, a sentence for people 300
	maxList = 64   // rules or exemptions of one record; the last one then says how many there are
)

// maxLine bounds a line that is read back. The longest that can be written, with every byte escaped to six, is
// (2*maxList + 12) words and 2 texts: 6*(140*256+2048) = 222 KiB.
const maxLine = 256 << 10

// appendBody appends the fields of r from time to reason. Seq and prev, which stand around them, are known only when
// the record takes its place in the chain.
func appendBody(b []byte, r *Record) []byte {
	b = append(b, `"time":"`...)
	b = appendTime(b, r.Time)
	b = append(b, '"')
	b = appendField(b, `,"event":`, r.Event, maxWord)
	b = appendField(b, `,"id":`, r.ID, maxWord)
	b = appendField(b, `,"client":{"ip":`, r.Client.IP, maxWord)
	b = appendField(b, `,"user":`, r.Client.User, maxWord)
	b = appendField(b, `,"agent":`, r.Client.Agent, maxWord)
	b = appendField(b, `},"requested":`, r.Requested, maxText)
	b = appendField(b, `,"method":`, r.Method, maxWord)
	b = appendField(b, `,"kind":`, r.Kind, maxWord)
	b = appendField(b, `,"digest":{"resolved":`, r.Digest.Resolved, maxWord)
	b = appendField(b, `,"served":`, r.Digest.Served, maxWord)
	b = appendField(b, `},"decision":`, r.Decision, maxWord)
	b = appendList(b, `,"rules":[`, r.Rules)
	b = appendList(b, `,"exemptions":[`, r.Exemptions)
	b = appendField(b, `,"policy":`, r.Policy, maxWord)
	b = appendField(b, `,"epoch":`, r.Epoch, maxWord)
	b = append(b, `,"cached":`...)
	b = strconv.AppendBool(b, r.Cached)
	b = append(b, `,"stale":`...)
	b = strconv.AppendBool(b, r.Stale)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, `,"millis":`...)
	b = strconv.AppendInt(b, r.Millis, 10)
	return appendField(b, `,"reason":`, r.Reason, maxText)
}

// appendTime appends t in UTC. RFC 3339 has four digits for the year; what lies outside is clamped.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	switch year := t.Year(); {
	case year < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

// appendDigits appends the last n decimal digits of v.
func appendDigits(b []byte, v, n int) []byte {
	var digits [6]byte
	for i := n - 1; i >= 0; i-- {
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(b, digits[:n]...)
}

func appendField(b []byte, key, value string, limit int) []byte {
	b = append(b, key...)
	return appendString(b, value, limit)
}

func appendList(b []byte, key string, values []string) []byte {
	b = append(b, key...)
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if i == maxList-1 && len(values) > maxList {
			b = appendString(b, "+"+strconv.Itoa(len(values)-i)+" more", maxWord)
			break
		}
		b = appendString(b, value, maxWord)
	}
	return append(b, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Beyond what JSON asks for, everything that could change how a line is
// shown or split is escaped: all control and format characters, among them the bidirectional ones, and the line and
// paragraph separators. Bytes that are no UTF-8 become U+FFFD. A string over the limit is cut and ends in an ellipsis.
func appendString(b []byte, s string, limit int) []byte {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
		for i := len(s) - 1; i >= 0 && i >= len(s)-utf8.UTFMax; i-- { // not in the middle of a character
			if utf8.RuneStart(s[i]) {
				if !utf8.FullRuneInString(s[i:]) {
					s = s[:i]
				}
				break
			}
		}
	}
	b = append(b, '"')
	start := 0
	for i := plain(s); i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= utf8.RuneSelf && (r != utf8.RuneError || size > 1) && !hidden(r) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscaped(b, r)
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// plain returns how many bytes at the start of s certainly stand for themselves. It looks at eight at once: nearly all of
// a record is plain, and a pull writes more than a kilobyte of it.
func plain(s string) (n int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(s); n += 8 {
		p := s[n : n+8]
		x := uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16 | uint64(p[3])<<24 |
			uint64(p[4])<<32 | uint64(p[5])<<40 | uint64(p[6])<<48 | uint64(p[7])<<56
		control := x - ones*' '          // a high bit in each byte below a space
		quote := (x ^ ones*'"') - ones   // in each that is a quote
		escape := (x ^ ones*'\\') - ones // in each that is a backslash
		remove := x + ones               // in each that is DEL
		if (x|control|quote|escape|remove)&highs != 0 {
			break
		}
	}
	return n
}

// hidden reports whether a character beyond ASCII has no glyph of its own but changes what stands around it.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
}

func appendEscaped(b []byte, r rune) []byte {
	if r == '"' || r == '\\' {
		return append(b, '\\', byte(r))
	}
	if r > 0xffff {
		r -= 0x10000
		b = appendUnit(b, 0xd800+r>>10)
		return appendUnit(b, 0xdc00+r&0x3ff)
	}
	return appendUnit(b, r)
}

func appendUnit(b []byte, u rune) []byte {
	return append(b, '\\', 'u', hexDigits[u>>12&15], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}

// A chain is the place of the next record: the seq and the hash of the one before it.
type chain struct {
	seq  uint64
	prev [2 * sha256.Size]byte
}

func newChain() chain {
	var c chain
	copy(c.prev[:], Genesis)
	return c
}

// append appends a record's whole line, newline included, and moves on.
func (c *chain) append(b, body []byte) []byte {
	start := len(b)
	c.seq++
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, c.seq, 10)
	b = append(b, ',')
	b = append(b, body...)
	b = append(b, `,"prev":"`...)
	b = append(b, c.prev[:]...)
	b = append(b, `"}`...)
	c.prev = hashLine(b[start:])
	return append(b, '\n')
}

// hashLine returns the lower-case hex SHA-256 of a line without its newline.
func hashLine(line []byte) (out [2 * sha256.Size]byte) {
	sum := sha256.Sum256(line)
	hex.Encode(out[:], sum[:])
	return out
}
