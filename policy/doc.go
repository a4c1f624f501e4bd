// Package policy provides the words Winnow decides with: references, the contents of an image, rules and the
// policies made of them, violations, verdicts and exemptions, and Set.Evaluate, which turns contents into a verdict.
//
// It does no I/O: documents are handed over as bytes, the clock as an argument. It knows nothing of HTTP,
// registries or caches, and nothing in it may admit what it could not evaluate: a rule that fails to run is a
// violation, and an image that no policy includes is refused.
package policy
