package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// settleHorizon bounds how far back interrupted pulls are looked for: no pull is in flight for a day.
	settleHorizon = 24 * time.Hour
	// maxUnsettled bounds how many are held while looking: far more than the pulls one process can have in flight.
	maxUnsettled = 1 << 16
)

// settleInterrupted appends a completed record for each decided one of an earlier process that has none, and then
// says that all before is settled.
func (l *Log) settleInterrupted(ctx context.Context, dir string, before history) error {
	if len(before.names) == 0 {
		return nil
	}
	from, err := l.settleFrom(ctx, dir, before)
	if err != nil {
		return err
	}
	found := unsettled{open: map[string]decided{}}
	for i := from; i < len(before.names); i++ {
		if err := before.scan(ctx, dir, i, found.line); err != nil {
			return err
		}
	}
	for _, d := range found.inOrder() {
		var r Record
		if err := json.Unmarshal(d.line, &r); err != nil {
			continue // changed by somebody, which Verify says
		}
		r.Event, r.Time, r.Reason = EventCompleted, time.Time{}, ReasonInterrupted
		r.Status, r.Bytes, r.Millis = 0, 0, 0
		if err := l.Append(&r); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.pending.flight += int64(len(found.open)) // those completions were not of this process's pulls
	l.mu.Unlock()
	reason := fmt.Sprintf("%d interrupted pulls", len(found.open))
	if found.dropped > 0 {
		reason += fmt.Sprintf(", %d more were too many to complete", found.dropped)
	}
	return l.Append(&Record{Event: EventSettled, Reason: reason})
}

// settleFrom returns the first segment that may hold an unsettled pull: the newest in which the log was closed in
// order, or which holds the start of a process that settled all before it.
func (l *Log) settleFrom(ctx context.Context, dir string, before history) (int, error) {
	horizon := l.now().Add(-settleHorizon)
	wantStart := false
	for i := len(before.names) - 1; i > 0; i-- {
		first, err := firstLine(dir, before.names[i])
		if err != nil {
			return 0, err
		}
		var r Record
		if json.Unmarshal(first, &r) == nil && r.Time.Before(horizon) {
			return i, nil
		}
		opened, settled, found := false, false, false
		err = before.scan(ctx, dir, i, func(line []byte) {
			event, _, _ := eventAndID(line)
			switch {
			case string(event) == EventOpened:
				opened = true
			case string(event) == EventSettled && !opened:
				settled = true
			case string(event) == EventSettled, closedInOrder(event, line):
				found = true
			}
		})
		if err != nil || found || wantStart && opened {
			return i, err
		}
		wantStart = wantStart || settled
	}
	return 0, nil
}

// closedInOrder reports whether the record says that every pull before it has its end.
func closedInOrder(event, line []byte) bool {
	return string(event) == EventClosed && bytes.Contains(line, []byte(`,"reason":"",`))
}

// scan calls f with every whole line of the i-th segment.
func (h history) scan(ctx context.Context, dir string, i int, f func(line []byte)) error {
	file, err := os.Open(filepath.Join(dir, h.names[i]))
	if err != nil {
		return fmt.Errorf("looking for interrupted pulls: %w", err)
	}
	defer file.Close()
	var r io.Reader = file
	if i == len(h.names)-1 {
		r = io.LimitReader(file, h.size)
	}
	lines := newLineReader(r)
	for ctx.Err() == nil {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return nil
		case errors.Is(err, errTooLong):
			continue
		case err != nil:
			return fmt.Errorf("looking for interrupted pulls: %w", err)
		}
		f(line)
	}
	return fmt.Errorf("looking for interrupted pulls: %w", ctx.Err())
}

// unsettled holds the decided records that no completed one has followed yet.
type unsettled struct {
	open    map[string]decided // by id
	run     int                // counts the processes
	seen    int                // counts the decided records
	dropped int
}

type decided struct {
	line  []byte
	run   int
	place int
}

func (u *unsettled) line(line []byte) {
	event, id, ok := eventAndID(line)
	if !ok {
		return
	}
	switch string(event) {
	case EventOpened:
		u.run++
	case EventSettled: // speaks of the processes before the one that wrote it
		maps.DeleteFunc(u.open, func(_ string, d decided) bool { return d.run < u.run })
	case EventClosed:
		if closedInOrder(event, line) {
			clear(u.open)
			u.dropped = 0
		}
	case EventCompleted:
		delete(u.open, string(id))
	case EventDecided:
		if len(u.open) >= maxUnsettled {
			u.dropped++
			return
		}
		u.seen++
		u.open[string(id)] = decided{line: bytes.Clone(line), run: u.run, place: u.seen}
	}
}

func (u *unsettled) inOrder() []decided {
	return slices.SortedFunc(maps.Values(u.open), func(a, b decided) int { return a.place - b.place })
}
