package audit

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// fail begins a fault. A full disk is met with the space of the reserve.
func (w *writer) fail(err error) {
	if w.fault.Load() == nil {
		w.since = w.now()
		w.log.Error("the audit log cannot be written; content is refused until it can", zap.Error(err))
		w.metrics.faults.Inc()
		w.metrics.writable.Set(0)
	}
	w.fault.Store(&Unavailable{err: err})
	w.unclean.Store(true)
	if diskFull(err) && w.reserve.held {
		if err := w.reserve.release(); err != nil {
			w.log.Error("giving up the audit reserve", zap.Error(err))
		}
	}
}

// salvage writes the records of a batch that are no content, where there still is a way; else it keeps or counts them.
func (w *writer) salvage(q *queue) {
	before := len(w.carry.entries)
	mark := len(w.carry.bodies)
	var kepts queue
	var refusals uint64
	q.each(func(body []byte, c class) {
		switch c {
		case content:
			return
		case refusal:
			refusals++
		case kept:
			kepts.add(body, c)
		}
		w.carry.add(body, c)
	})
	if len(w.carry.entries) == 0 {
		return
	}
	if !w.stuck {
		err := w.write(&w.carry)
		if err == nil {
			w.clearCarry()
			return
		}
		w.stuck = true // until the next upkeep: to try with each batch would only load a disk in trouble
	}
	w.carry.bodies, w.carry.entries = w.carry.bodies[:mark], w.carry.entries[:before]
	kepts.each(w.carry.add)
	w.unrecorded += refusals
	w.metrics.unrecorded.Add(float64(refusals))
	w.backlog.Store(w.carry.full())
}

func (w *writer) clearCarry() {
	w.carry = queue{} // it may have grown large, and is not needed again soon
	w.backlog.Store(false)
}

// resume ends a fault: with the reserve held again and the kept records written.
func (w *writer) resume() {
	w.stuck = false
	if err := w.reserve.hold(w.sync); err != nil {
		w.fail(err)
		return
	}
	w.note(EventResumed, fmt.Sprintf("not writable since %s; %d refusals went unrecorded", w.since.UTC().Format(time.RFC3339), w.unrecorded))
	if err := w.write(&w.carry); err != nil {
		w.notes = slices.DeleteFunc(w.notes, func(r Record) bool { return r.Event == EventResumed })
		w.stuck = true
		w.fail(err)
		return
	}
	w.log.Info("the audit log can be written again", zap.Uint64("unrecorded refusals", w.unrecorded))
	w.clearCarry()
	w.unrecorded = 0
	w.metrics.writable.Set(1)
	w.fault.Store(nil)
}

// clockJump is how far the wall clock may move against the monotonic one between two looks before it is worth a
// record: more than slewing does in a second.
const clockJump = time.Minute

// A clock sees jumps of the wall clock, and machines that were suspended. Seq orders the records; this tells readers
// why their times do not.
type clock struct {
	ahead time.Duration // of the wall clock against the monotonic one, since the writer began
	known bool
}

// moved returns by how much the wall clock has jumped since the last call, or 0.
func (c *clock) moved(wall, monotonic time.Duration) time.Duration {
	before, known := c.ahead, c.known
	c.ahead, c.known = wall-monotonic, true
	if jump := c.ahead - before; known && jump.Abs() >= clockJump {
		return jump.Round(time.Second)
	}
	return 0
}

// seal gives a segment up and lets the next write start another, whose first record says so: Verify goes by that.
func (w *writer) seal(event string, cause error) {
	name := filepath.Base(w.seg.path)
	w.log.Error("the audit segment is sealed", zap.String("segment", name), zap.Error(cause))
	if len(w.notes) == 0 || w.notes[0].Event != event { // a lasting fault seals again and again
		w.notes = slices.Insert(w.notes, 0, Record{Time: w.now(), Event: event, Reason: name + ": " + cause.Error()})
	}
	if err := w.seg.close(); err != nil {
		w.log.Warn("closing a sealed audit segment", zap.Error(err))
	}
	w.seg = nil
}
