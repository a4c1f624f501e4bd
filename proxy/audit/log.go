package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// defaultSegmentSize lets one segment hold about a hundred thousand records: a day of a small site, an hour of a busy one.
const defaultSegmentSize = 64 << 20

// Options say where and how to record.
type Options struct {
	// Path is the folder; it is made when missing.
	Path string
	// NoSync leaves durability to the operating system: records survive the process, but not a power loss.
	NoSync bool
	// SegmentSize is the size from which on a new segment is started; 0 means 64 MiB. One is also started each UTC day.
	SegmentSize int64
	// Version of the program, for the record of its start.
	Version string
	// Logger is told of faults and of what was repaired; nil means nobody is.
	Logger *zap.Logger
	// Registerer gets the metrics winnow_audit_…; nil means none.
	Registerer prometheus.Registerer

	now      func() time.Time     // tests move the clock
	syncFile func(*os.File) error // tests fail it
}

// A Log is the open audit log. Its methods may be called at the same time.
type Log struct {
	pools
	now     func() time.Time
	metrics *metrics

	mu      sync.Mutex
	pending *batch
	closed  bool

	wake    chan struct{} // capacity 1: there is something to commit, or closed is set
	urgent  chan struct{} // capacity 1: somebody waits for the pending batch
	fault   atomic.Pointer[Unavailable]
	backlog atomic.Bool   // in a fault: no more records can be kept in memory
	ended   chan struct{} // closed when the writer is through
	endErr  error         // what the writer ended with; set before ended is closed
	settle  context.CancelFunc
	settled chan struct{} // closed when the search for interrupted pulls has ended
}

// Open makes or continues the log in opts.Path. It fails where the folder cannot be written or another process
// writes it; a full disk is no such failure, since it goes by (see Err). What a crash left is repaired: a torn last
// line is cut off and kept aside, and pulls that were interrupted are completed while the log is in use already.
func Open(opts Options) (*Log, error) {
	w, unsettled, err := openWriter(&opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Log{
		now:     opts.now,
		metrics: w.metrics,
		wake:    make(chan struct{}, 1),
		urgent:  make(chan struct{}, 1),
		ended:   make(chan struct{}),
		settle:  cancel,
		settled: make(chan struct{}),
	}
	l.pending = l.batch()
	w.fault, w.backlog = &l.fault, &l.backlog
	if err := w.begin(opts.Version); err != nil {
		cancel()
		return nil, errors.Join(err, w.release())
	}
	go l.run(w)
	go func() {
		defer close(l.settled)
		if err := l.settleInterrupted(ctx, opts.Path, unsettled); err != nil {
			w.unclean.Store(true) // the next start tries again
			w.log.Error("completing interrupted pulls in the audit log", zap.Error(err))
		}
	}()
	return l, nil
}

// Decided records r and returns when it is durable. Where that is impossible the error is an *Unavailable, and the
// caller must not serve content; only a record whose Decision is deny or error is then counted instead, and nil
// returned, because such an answer gives nothing away. When ctx ends first its error is returned, and the record may
// or may not be written. A record of EventDecided is to be followed by one of EventCompleted with the same ID.
func (l *Log) Decided(ctx context.Context, r *Record) error {
	c := content
	if r.givesNothing() {
		c = refusal
	} else if u := l.fault.Load(); u != nil {
		return u
	}
	b, err := l.put(ctx, r, c, true)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		if c == refusal {
			return nil
		}
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("recording the decision: %w", ctx.Err())
	}
}

// Append records r in order with the others and does not wait for the disk; the next commit covers it, within
// milliseconds. It waits only while the queue is full. In a fault records are kept until the log can be written again; when there are too many,
// the error is an *Unavailable.
func (l *Log) Append(r *Record) error {
	if u := l.fault.Load(); u != nil && l.backlog.Load() {
		return u
	}
	_, err := l.put(context.Background(), r, kept, false)
	return err
}

// Err returns why the log cannot be written now, or nil.
func (l *Log) Err() error {
	if u := l.fault.Load(); u != nil {
		return u
	}
	return nil
}

// put encodes r into the pending batch, and returns that. With awaited the batch is committed at once.
func (l *Log) put(ctx context.Context, r *Record, c class, awaited bool) (*batch, error) {
	body := l.body()
	defer l.putBody(body)
	if r.Time.IsZero() {
		stamped := *r
		stamped.Time = l.now()
		r = &stamped
	}
	*body = appendBody(*body, r)
	for {
		l.mu.Lock()
		b := l.pending
		if l.closed {
			l.mu.Unlock()
			return nil, errClosed
		}
		if !b.full() {
			b.add(*body, c)
			b.flight += flight(r.Event)
			first, hurry := len(b.entries) == 1, awaited && !b.awaited
			b.awaited = b.awaited || awaited
			l.mu.Unlock()
			if first {
				signal(l.wake)
			}
			if hurry {
				signal(l.urgent)
			}
			l.metrics.count(r.Event)
			return b, nil
		}
		l.mu.Unlock()
		if u := l.fault.Load(); u != nil {
			return nil, u
		}
		signal(l.urgent)
		select {
		case <-b.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the audit log: %w", ctx.Err())
		}
	}
}

// flight is what a record adds to the number of pulls in flight.
func flight(event string) int64 {
	switch event {
	case EventDecided:
		return 1
	case EventCompleted:
		return -1
	}
	return 0
}

// signal sends on a channel of capacity 1, unless what it would say has been said.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns the pending batch and puts a new one in its place; nil where nothing is pending.
func (l *Log) take() (b *batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending.entries) == 0 {
		return nil, l.closed
	}
	b, l.pending = l.pending, l.batch()
	return b, l.closed
}

// upkeep is how often the writer looks after its files and, in a fault, tries again.
const upkeep = time.Second

// linger is how long records for which nobody waits may stand in memory. At some tens of thousands of requests a second
// it turns thousands of syncs into two hundred.
const linger = 5 * time.Millisecond

// run is the writer: it commits what has queued, at once where somebody waits, until the log is closed.
func (l *Log) run(w *writer) {
	defer close(l.ended)
	ticker := time.NewTicker(upkeep)
	defer ticker.Stop()
	w.holdReserve()
	for {
		select {
		case <-l.wake:
			l.gather()
		case <-ticker.C:
			w.upkeep()
		}
		b, closed := l.take()
		if b != nil {
			b.err = w.commit(&b.queue)
			q := b.queue
			close(b.done)
			l.putQueue(q)
		}
		if closed {
			l.endErr = w.end()
			return
		}
	}
}

// gather lets more records come to those that nobody waits for.
func (l *Log) gather() {
	select {
	case <-l.urgent: // about a batch that is committed
	default:
	}
	l.mu.Lock()
	hurry := l.pending.awaited || l.pending.full() || l.closed
	l.mu.Unlock()
	if hurry {
		return
	}
	select {
	case <-l.urgent:
	case <-time.After(linger):
	}
}

// Close writes what is queued, says in the log that it ended in order, and gives the folder free.
func (l *Log) Close() error {
	l.settle()
	<-l.settled
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	signal(l.wake)
	<-l.ended
	return l.endErr
}
