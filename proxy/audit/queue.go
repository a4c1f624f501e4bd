package audit

import "sync"

// A class says what becomes of a record that cannot be written now.
type class uint8

const (
	content class = iota // its caller is told, and serves nothing
	refusal              // its caller goes on, since a refusal gives nothing away; it is counted
	kept                 // it waits in memory until it can be written
)

// maxQueued bounds the records that wait for a commit, in bytes: about two thousand. A commit of that size takes a
// few milliseconds, so a longer queue would only hide that the disk is too slow.
const maxQueued = 1 << 20

// A queue holds encoded records in order.
type queue struct {
	bodies  []byte
	entries []entry
	flight  int64 // decided less completed
}

type entry struct {
	end   int // of the body in bodies
	class class
}

func (q *queue) add(body []byte, c class) {
	q.bodies = append(q.bodies, body...)
	q.entries = append(q.entries, entry{end: len(q.bodies), class: c})
}

func (q *queue) full() bool { return len(q.bodies) >= maxQueued }

func (q *queue) reset() {
	q.bodies, q.entries, q.flight = q.bodies[:0], q.entries[:0], 0
}

// each calls f with every record.
func (q *queue) each(f func(body []byte, c class)) {
	start := 0
	for _, e := range q.entries {
		f(q.bodies[start:e.end], e.class)
		start = e.end
	}
}

// A batch is the records of one commit and what their callers wait for.
type batch struct {
	queue
	awaited bool // somebody waits for it now
	done    chan struct{}
	err     error // of the content records; set before done is closed
}

// Buffers and queues are reused: what a pull costs here is a copy, a hash and its share of a write.
type pools struct {
	bodies sync.Pool // of *[]byte
	queues sync.Pool // of *queue
}

// maxPooled keeps the buffer of one enormous record from being held for ever.
const maxPooled = 16 << 10

func (p *pools) body() *[]byte {
	if b, ok := p.bodies.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1024)
	return &b
}

func (p *pools) putBody(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		p.bodies.Put(b)
	}
}

func (p *pools) batch() *batch {
	b := &batch{done: make(chan struct{})}
	if q, ok := p.queues.Get().(*queue); ok {
		b.queue = *q
	}
	return b
}

func (p *pools) putQueue(q queue) {
	q.reset()
	p.queues.Put(&q)
}
