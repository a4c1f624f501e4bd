// Package testkit provides what the scenarios and benchmarks of this project stand on: programs that are built once and
// kept, processes that end with the test that started them, folders that are unmounted before they are removed, and one
// loud way to say that a scenario cannot run on this machine.
//
// The packages below it start real parts: registry an upstream that counts its requests, images the sample images,
// daemons the container engines, winnow the program under test. Nothing here is part of the program that is shipped.
package testkit
