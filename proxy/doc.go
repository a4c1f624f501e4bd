// Package proxy provides the HTTP front end: a pull-only registry as distribution-spec 1.1 has it, in front of package
// admission, with every request on record in package audit.
//
// A request passes, in this order: limits of connections and headers (Server), one strict parse into a Request value,
// authentication, the gate, the durable audit record, the bytes. The package decides nothing about images and keeps
// nothing: it does not know what an upstream or a store is. Handlers return errors; one place, writeError, turns them
// into answers. What a client sends is data: it is never a target to dial, and never echoed with control characters.
package proxy
