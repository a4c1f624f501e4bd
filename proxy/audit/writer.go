package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A writer owns the files and the chain. One goroutine uses it.
type writer struct {
	dir     string
	size    int64 // from which on a segment is full
	sync    syncer
	now     func() time.Time
	log     *zap.Logger
	metrics *metrics
	lock    *os.File
	reserve reserve

	seg   *segment // nil: the next write starts one
	chain chain    // of the last durable record
	noted uint64   // seq of the last written head
	notes []Record // about the log itself, to stand before the next records
	buf   []byte
	clock clock
	began time.Time // of the writer, on both clocks

	fault      *atomic.Pointer[Unavailable]
	backlog    *atomic.Bool
	since      time.Time   // of the fault
	stuck      bool        // the last try in this fault failed, and the next upkeep has not come
	carry      queue       // kept records that wait for the end of the fault
	unrecorded uint64      // refusals that could not be written in the fault
	inFlight   int64       // decided less completed, while there was no fault
	unclean    atomic.Bool // the next start has to look for interrupted pulls
}

// begin writes the records about this start. A full disk leaves the log in its fault rather than closed.
func (w *writer) begin(version string) error {
	w.note(EventOpened, "winnow "+version)
	err := w.write(nil)
	switch {
	case err == nil:
	case diskFull(err):
		w.fail(err)
		if w.write(nil) == nil { // the reserve was of use
			return nil
		}
	default:
		return fmt.Errorf("audit folder %s is not writable: %w; give uid %d write access or set audit.path", w.dir, err, os.Getuid())
	}
	w.metrics.writable.Set(boolValue(w.fault.Load() == nil))
	return nil
}

// holdReserve comes before the first record but not before the start has been said: it writes a MiB.
func (w *writer) holdReserve() {
	if w.fault.Load() != nil {
		return
	}
	if err := w.reserve.hold(w.sync); err != nil {
		w.fail(err)
	}
}

// commit makes a batch durable, as one write and one sync. The error is that of its content records.
func (w *writer) commit(q *queue) error {
	if u := w.fault.Load(); u != nil {
		w.salvage(q)
		return u
	}
	start := time.Now()
	if err := w.write(q); err != nil {
		w.fail(err)
		w.salvage(q)
		return w.fault.Load()
	}
	w.metrics.committed(len(q.entries), time.Since(start))
	return nil
}

// write appends the notes and the queue to the chain. After an error the chain stands where it stood before.
func (w *writer) write(q *queue) error {
	if err := w.ensureSegment(); err != nil {
		return err
	}
	next := w.chain
	w.buf = w.buf[:0]
	var body []byte
	for i := range w.notes {
		body = appendBody(body[:0], &w.notes[i])
		w.buf = next.append(w.buf, body)
	}
	if q != nil {
		q.each(func(body []byte, _ class) { w.buf = next.append(w.buf, body) })
	}
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.seg.append(w.buf, w.sync); err != nil {
		if errors.Is(err, errSuspect) {
			w.seal(EventSuspect, err)
		}
		return err
	}
	w.metrics.bytes.Add(float64(len(w.buf)))
	w.chain = next
	if q != nil {
		w.inFlight += q.flight
	}
	w.notes = w.notes[:0]
	return nil
}

// ensureSegment makes w.seg the file to append to: the one in use if it is whole, in its place, not full and of today.
func (w *writer) ensureSegment() error {
	now := w.now()
	if w.seg != nil {
		if err := w.inspect(); err != nil {
			return err
		}
	}
	if w.seg != nil && w.seg.size > 0 && (w.seg.size >= w.size || w.seg.day != now.UTC().Format(time.DateOnly)) {
		full := w.seg
		seg, err := createSegment(w.dir, w.chain.seq+1, now, w.sync)
		if err != nil {
			return err
		}
		w.seg = seg
		return full.close()
	}
	if w.seg != nil {
		return nil
	}
	seg, err := createSegment(w.dir, w.chain.seq+1, now, w.sync)
	if err == nil {
		w.seg = seg
	}
	return err
}

// inspect sees to a segment that somebody else moved, removed, cut or appended to.
func (w *writer) inspect() error {
	gone, size, err := w.seg.check()
	if err != nil {
		return err
	}
	if size != w.seg.size {
		event := EventSuspect
		if size < w.seg.size {
			event = EventTruncated
		}
		w.seal(event, fmt.Errorf("another process changed its size from %d to %d", w.seg.size, size))
		return nil
	}
	if !gone {
		return nil
	}
	if err := w.seg.restore(w.sync); err != nil {
		return err
	}
	w.log.Warn("the audit segment was removed or renamed and has been restored", zap.String("segment", w.seg.path))
	w.note(EventRestored, filepath.Base(w.seg.path)+" was removed or renamed and has been restored")
	return nil
}

// maxNotes bounds what a lasting fault may have the log say about itself.
const maxNotes = 16

func (w *writer) note(event, reason string) {
	if len(w.notes) < maxNotes {
		w.notes = append(w.notes, Record{Time: w.now(), Event: event, Reason: reason})
	}
}

// upkeep runs every second: it repairs, and notes the head.
func (w *writer) upkeep() {
	if moved := w.clock.moved(w.now().Round(0).Sub(w.began.Round(0)), time.Since(w.began)); moved != 0 {
		w.note(EventClockMoved, fmt.Sprintf("the wall clock moved by %s", moved))
	}
	if w.fault.Load() != nil {
		w.resume()
		return
	}
	if err := w.write(nil); err != nil { // also checks that the segment is still there
		w.fail(err)
		return
	}
	w.noteHead(syncer{off: true})
}

func (w *writer) noteHead(sync syncer) {
	if w.noted == w.chain.seq {
		return
	}
	if err := writeHead(w.dir, w.head(), sync); err != nil {
		w.log.Warn("noting the head of the audit log", zap.Error(err))
		return
	}
	w.noted = w.chain.seq
}

func (w *writer) head() Checkpoint {
	return Checkpoint{Seq: w.chain.seq, Hash: string(w.chain.prev[:])}
}

// end is the last act: it says in the log that the process ended in order.
func (w *writer) end() error {
	if w.fault.Load() != nil {
		w.resume()
	}
	var err error
	if u := w.fault.Load(); u != nil {
		err = fmt.Errorf("closing the audit log with %d records unwritten: %w", len(w.carry.entries), u)
	} else {
		reason := ""
		if w.inFlight != 0 || w.unclean.Load() {
			reason = "pulls may be unfinished"
		}
		w.note(EventClosed, reason)
		if err = w.write(nil); err == nil {
			w.noteHead(w.sync)
		}
	}
	return errors.Join(err, w.release())
}

// release gives the files and the folder free.
func (w *writer) release() error {
	var err error
	if w.seg != nil {
		err = w.seg.close()
	}
	return errors.Join(err, w.lock.Close())
}
