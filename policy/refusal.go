package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// maxRefusal is the length of a refusal in bytes. Clients show one line, the kubelet cuts events at 1024 bytes of
// which it repeats the message up to three times, and HTTP/1.1 status lines of this length pass every client measured.
const maxRefusal = 300

// Words that stand where a rule's id does, when no rule explains the refusal.
const (
	wordNoPolicy = "no-policy"
	wordRefused  = "refused"
)

// Refusal returns the sentence that a client shows, e.g.
//
//	no-root: docker.io/library/nginx:1.27 runs as root; why: http://localhost:5000/why/3c6e…
//
// It is one line of at most 300 bytes without control characters: the id of the gravest rule first, whyURL last and
// whole. Where the parts are too long the finding is shortened, then the name. What leaves no room for them at all is
// left out: first what else there is to say, then whyURL, since half an address is none.
func Refusal(v *Verdict, ref Reference, whyURL string) string {
	head, finding, more := headline(v)
	head = clip(clean(head), maxIdentifier) + ": "
	name, finding := clean(ref.String()), clean(finding)
	why := clean(strings.TrimSpace(whyURL))
	if why != "" {
		why = "; why: " + why
	}
	if len(head)+len(more)+len(why) > maxRefusal-minSubject {
		more = ""
	}
	if len(head)+len(why) > maxRefusal-minSubject {
		why = ""
	}
	room := maxRefusal - len(head) - len(more) - len(why) - 1
	if len(name)+len(finding) > room {
		// The finding keeps a third at least, so that a long name cannot hide what is wrong.
		finding = clip(finding, max(room-len(name), room/3))
		name = clip(name, room-len(finding))
	}
	return head + name + " " + finding + more + why
}

// minSubject is what a refusal keeps for the name and the finding, in bytes.
const minSubject = 60

// maxIdentifier is the length that rule ids are held to when they are loaded.
const maxIdentifier = 63

// headline picks what a refusal says first: the rule, its finding, and what else there is.
func headline(v *Verdict) (head, finding, more string) {
	grave := v.Effective()
	grave = slices.DeleteFunc(grave, func(x Violation) bool { return x.Action == ActionWarn })
	slices.SortStableFunc(grave, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(actionRank(b.Action), actionRank(a.Action)), cmp.Compare(severityRank(b.Severity), severityRank(a.Severity)))
	})
	switch {
	case len(grave) > 0:
		head, finding = grave[0].Rule, grave[0].Message
	case v.Reason == reasonNotIncluded || v.Reason == reasonNoRules:
		head, finding = wordNoPolicy, v.Reason
	default:
		head, finding = wordRefused, cmp.Or(v.Reason, "may not be served")
	}
	if len(grave) > 1 {
		more = fmt.Sprintf(" (+%d more)", len(grave)-1)
	}
	if v.SlimDigest != "" {
		more += "; pull " + clip(clean(v.SlimDigest), maxDigest) + " instead"
	}
	return head, finding, more
}

// maxDigest is the length of sha256: and its 64 digits; no other digest is longer in use here.
const maxDigest = 71

func actionRank(a Action) int {
	return slices.Index([]Action{ActionWarn, ActionSlim, ActionDeny}, a)
}

func severityRank(s Severity) int {
	return slices.Index([]Severity{SeverityInfo, SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}, s)
}

// WhyID names the page that explains why v refuses an image: the same for one digest and revision, on every replica, on
// every try and under every name, so that equal refusals fold into one event. It gives nothing away about them.
func WhyID(v *Verdict) string {
	sum := sha256.Sum256([]byte(v.Digest + " " + v.Revision))
	return hex.EncodeToString(sum[:12])
}
