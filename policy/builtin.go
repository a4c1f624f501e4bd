package policy

import "time"

// A Builtin is a rule that policy documents name with `use`. Package rules has those that come with Winnow.
type Builtin struct {
	Name     string   // what `use` says, dotted lower case, e.g. config.non-root
	Title    string   // a few words
	Doc      string   // what it checks, and what it cannot see
	Controls []string // controls it answers to, e.g. "CIS Docker 4.1"
	Advice   string   // what to do about a violation, one sentence
	Severity Severity // where the document does not say
	Stage    Stage    // what must be known of an image to check it
	Kinds    []Kind   // what it applies to; an index and an artifact are judged as far as their manifest says
	Mends    bool     // whether slimming can make an image comply
	Revision int      // counted up whenever the same parameters come to judge differently: old verdicts then lapse

	// Params points to a struct with the defaults of the `with` block, whose yaml and jsonschema tags document it;
	// nil when the rule takes none.
	Params any
	// Compile makes the check out of a `with` block, which decode reads strictly into a struct like Params.
	Compile func(decode func(into any) error) (Check, error)
}

// appliesTo reports whether the rule judges manifests of kind k.
func (b *Builtin) appliesTo(k Kind) bool {
	for _, have := range b.Kinds {
		if have == k {
			return true
		}
	}
	return false
}

// A Check judges one image by one rule. It must not keep or change its input, and it may run in parallel.
type Check func(Input) Outcome

// Input is what a check may look at.
type Input struct {
	Contents  *Contents
	Requester Requester
	Now       time.Time
}

// An Outcome is what a check found. The zero Outcome says that the image complies.
type Outcome struct {
	Message  string    // what is wrong, without the image's name: "runs as root"; empty means that the image complies
	Findings []Finding // what was found and where; a message without findings is a violation as well
	Severity Severity  // of this outcome, where it differs from the rule's
	Until    time.Time // when time alone may change the outcome; zero: never
}

// A Finding is one line of evidence.
type Finding struct {
	Text          string // secrets masked
	Vulnerability string // the advisory it is about, so that an exemption can name it; else empty
}

// A ParamError is a value in a `with` block that a rule cannot use. Path leads to it, e.g. "deny", 2.
type ParamError struct {
	Path    []any
	Message string
}

func (e *ParamError) Error() string { return e.Message }
