package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes s one line that prints as it reads: control, format and bidirectional characters, unassigned code
// points and broken UTF-8 become question marks, all white space becomes a space.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

const ellipsis = "…"

// clip shortens s to at most limit bytes, between characters, and shows that it did.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	if limit < len(ellipsis) {
		return ""
	}
	cut := limit - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}
