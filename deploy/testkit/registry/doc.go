// Package registry starts upstreams: the real distribution registry in the test's process, open, behind a password or
// behind a token server, over HTTP or TLS, which counts what it is asked and can be slow or fail on demand.
//
// Faults are those of the transport (delay, rate, answers refused); a registry that lies about its contents is not here.
package registry
