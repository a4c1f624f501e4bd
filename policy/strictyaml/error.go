package strictyaml

import (
	"fmt"
	"strings"
)

// An Error is what is wrong with a document, and where. It prints as file:line:column: message, on one line.
type Error struct {
	File    string // as given to Documents
	Line    int    // from 1; 0 when the file as a whole is meant
	Column  int    // from 1
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	message := oneLine(e.Message)
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, message)
}

// oneLine keeps what a file holds from breaking out of its line of a terminal or a log.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
