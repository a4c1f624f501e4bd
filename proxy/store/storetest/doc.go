// Package storetest starts a real S3 server for tests: versitygw on a temporary folder.
//
// It is built once per machine by the go command, into the user's cache, and needs a module proxy the first time. It
// is no stand-in for the behaviour of a particular cloud: eventual consistency and throttling do not occur.
package storetest
