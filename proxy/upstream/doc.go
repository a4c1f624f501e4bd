// Package upstream fetches from the registries that Winnow may fetch from: it resolves tags, and reads manifests,
// blobs, tag lists and referrers. The list of registries is closed. Nothing outside it, its token servers and its
// blob hosts is dialled, and the address that a name resolves to is checked in the dialer itself, so that a name
// that is rebound between a check and a dial gains nothing. What an upstream sends (realm, Location, Link, media
// types) is data and never widens that list.
//
// It promises the digest of a manifest asked for by digest and the exact length of a blob. It does not hash blobs
// (the store does, before an object is in it), does not judge manifests (admission parses them), remembers nothing
// but tokens, and passes no response header on. Where an egress proxy is configured, host names are still checked,
// but the proxy resolves them, so addresses are its concern.
//
// Authentication and transport are written here, over go-containerregistry's error type and media types only. Its
// own transport sends credentials to any public realm a challenge names, follows redirects of token servers, logs
// through a global, and keeps the first caller's context; this package must refuse each of these.
//
// Requests use HTTP/1.1: a blob over Go's HTTP/2 costs twice the CPU, and pooled connections make up for the
// rest. Retries, a circuit breaker per host and a pause after 429 keep a broken upstream from being hammered and its
// callers from waiting: every failure is an [Error] that says how to answer the client.
package upstream
