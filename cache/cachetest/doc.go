// Package cachetest provides the conformance suite that every cache.Backend passes, and real Redis servers to run it
// against: single, with Sentinels, as a Cluster, with TLS, with an ACL user.
//
// It is for tests only. The servers are processes of the test, on ports of the loopback interface that the kernel chose,
// with their data in folders of the test; they end with it.
package cachetest
