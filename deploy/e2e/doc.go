// Package e2e holds the scenarios that show the program as a whole: real clients, real registries, the real binary. Each
// scenario is one test; what it stands on is in deploy/testkit.
//
// A scenario that needs something this machine does not have is skipped on a line that begins with SKIPPED SCENARIO, and
// fails under CI=true.
package e2e
