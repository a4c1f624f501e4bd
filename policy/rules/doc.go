// Package rules provides the built-in rules of Winnow, one file each, every one with the controls it answers to.
//
// The rules here read reference, manifest and configuration only; none looks into a layer, and none does I/O. What
// a rule cannot see is said in its documentation, so that nobody takes its silence for more than it is.
package rules
