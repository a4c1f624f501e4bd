package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	open := unsettled{lines: map[string][]byte{}}
	for i := from; i < len(before.names); i++ {
		if err := before.scan(ctx, dir, i, open.line); err != nil {
			return err
		}
	}
	for _, line := range open.inOrder() {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			continue // changed by somebody, which Verify says
		}
		r.Event, r.Time, r.Reason = EventCompleted, time.Time{}, ReasonInterrupted
		r.Status, r.Bytes, r.Millis = 0, 0, 0
		if err := l.Append(&r); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.pending.flight += int64(len(open.lines)) // those completions were not of this process's pulls
	l.mu.Unlock()
	reason := fmt.Sprintf("%d interrupted pulls", len(open.lines))
	if open.dropped > 0 {
		reason += fmt.Sprintf(", %d more were too many to complete", open.dropped)
	}
	return l.Append(&Record{Event: EventSettled, Reason: reason})
}

// settleFrom returns the first segment that may hold an unsettled pull.
func (l *Log) settleFrom(ctx context.Context, dir string, before history) (int, error) {
	horizon := l.now().Add(-settleHorizon)
	for i := len(before.names) - 1; i > 0; i-- {
		first, err := firstLine(dir, before.names[i])
		if err != nil {
			return 0, err
		}
		var r Record
		if json.Unmarshal(first, &r) == nil && r.Time.Before(horizon) {
			return i, nil
		}
		settled := false
		err = before.scan(ctx, dir, i, func(line []byte) {
			event, _, _ := eventAndID(line)
			settled = settled || barrier(event, line)
		})
		if err != nil || settled {
			return i, err
		}
	}
	return 0, nil
}

// barrier reports whether the record says that every pull before it has its end.
func barrier(event, line []byte) bool {
	return string(event) == EventSettled || string(event) == EventClosed && bytes.Contains(line, []byte(`,"reason":"",`))
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
	lines   map[string][]byte // by id
	order   []string
	dropped int
}

func (u *unsettled) line(line []byte) {
	event, id, ok := eventAndID(line)
	switch {
	case !ok:
	case barrier(event, line):
		u.lines, u.order, u.dropped = map[string][]byte{}, nil, 0
	case string(event) == EventCompleted:
		delete(u.lines, string(id))
	case string(event) == EventDecided && len(u.lines) >= maxUnsettled:
		u.dropped++
	case string(event) == EventDecided:
		if u.lines[string(id)] == nil {
			u.order = append(u.order, string(id))
			u.compact()
		}
		u.lines[string(id)] = bytes.Clone(line)
	}
}

// compact keeps order from growing with the log instead of with the pulls in flight.
func (u *unsettled) compact() {
	if len(u.order) < 2*len(u.lines)+1024 {
		return
	}
	still := u.order[:0]
	for _, id := range u.order {
		if u.lines[id] != nil {
			still = append(still, id)
		}
	}
	u.order = still
}

func (u *unsettled) inOrder() [][]byte {
	out := make([][]byte, 0, len(u.lines))
	for _, id := range u.order {
		if line := u.lines[id]; line != nil {
			out = append(out, line)
			u.lines[id] = nil // an id may have been decided more than once
		}
	}
	return out
}
