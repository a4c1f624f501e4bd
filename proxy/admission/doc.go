// Package admission is the single gate: every byte that is served has passed Gate.Admit or Gate.Blob, which answer
// from a verdict that holds under the policy and the advisories of this moment, or make one.
//
// A verdict is made once per digest: one flight in this process, one lease across replicas; the work is detached from
// the client that asked first and bounded by its own deadline. It rests on bytes that hash to the digest asked for, and
// on a strict reading of them (package manifest). What cannot be read, fetched or evaluated is not admitted.
//
// The package knows neither HTTP nor Redis nor how a store keeps its bytes: it declares what it needs of them. What
// layers hold and how an image is slimmed are seams (Inspector, Slimmer): while they are absent, a policy that needs
// them refuses.
package admission
