// Package manifest reads manifests, indexes and image configurations so strictly that no two parsers can read the same
// bytes differently: what it accepts has exactly one meaning to every client, and that meaning is what policy judges.
//
// It does not fetch, does not check a digest and does not judge. It refuses what it does not know: another schema
// version, a document that is both image and index, keys that repeat or differ only in case, numbers that are no plain
// integers. Every refusal is an *Error, the invalid_content of an audit record.
package manifest

// Error says where in a document what is wrong. It never carries document text that was not quoted.
type Error struct {
	Path    string // e.g. layers[3].digest; empty for the document itself
	Problem string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// StatusCode is the answer to the client that asked for such a document: 403, a refusal.
func (e *Error) StatusCode() int { return 403 }

// Reason is the word for audit records.
func (e *Error) Reason() string { return "invalid_content" }
