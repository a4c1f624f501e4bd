// Package cache remembers what admission found out: verdicts, resolutions of tags, grants and when a digest was first
// seen; and it lends the leases under which one replica admits a digest while the others wait.
//
// Three tiers answer in turn: the memory of this process, Redis when there is one, and an embedded file that is always
// there. Redis makes replicas share work, never correctness: whatever it holds is sealed with a key that Redis does not
// know, and what does not verify under its own name is a miss. A fault of Redis costs one short wait, after which a
// circuit breaker leaves it alone until it answers again in the background; no call of Cache fails because of it.
//
// The package does not decide anything. A remembered verdict may be old: whether it still holds under the policies and
// advisories of now is asked of it by the caller (policy.Verdict.Holds). It is a cache in the full sense: entries may be
// gone at any time, and gone means that the work is done again, never that something is admitted. Leases avoid double
// work; with Redis out of reach, or two sides of a split network, two replicas may do the same work at once.
package cache
