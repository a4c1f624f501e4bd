package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// A history is what earlier processes left that may hold pulls without an end: segments, of the last one only the
// first size bytes. The zero value says that there is none.
type history struct {
	names []string
	size  int64
}

// openWriter takes the folder and finds the place where the chain goes on.
func openWriter(opts *Options) (*writer, history, error) {
	if opts.now == nil {
		opts.now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.SegmentSize <= 0 {
		opts.SegmentSize = defaultSegmentSize
	}
	if err := os.MkdirAll(opts.Path, dirMode); err != nil {
		return nil, history{}, fmt.Errorf("making the audit folder: %w; set audit.path to a folder that can be written", err)
	}
	lock, err := lockDir(opts.Path)
	if err != nil {
		return nil, history{}, err
	}
	w := &writer{
		dir: opts.Path, size: opts.SegmentSize, sync: syncer{off: opts.NoSync, file: opts.syncFile}, now: opts.now,
		log: opts.Logger, metrics: newMetrics(opts.Registerer), lock: lock, reserve: newReserve(opts.Path), chain: newChain(), began: time.Now(),
	}
	before, err := w.recover()
	if err != nil {
		return nil, history{}, errors.Join(err, w.release())
	}
	return w, before, nil
}

// recover reads the end of the log. Only the last segment can be torn: one is complete before the next is started.
func (w *writer) recover() (history, error) {
	names, err := segments(w.dir)
	if err != nil {
		return history{}, err
	}
	var before history
	for ; len(names) > 0; names = names[:len(names)-1] {
		path := filepath.Join(w.dir, names[len(names)-1])
		end, err := w.recoverTail(path)
		if err != nil {
			return history{}, err
		}
		if end.size == 0 {
			if err := os.Remove(path); err != nil {
				return history{}, fmt.Errorf("removing an empty audit segment: %w", err)
			}
			continue
		}
		if w.chain, err = end.chain(); err != nil {
			return history{}, fmt.Errorf("continuing the audit log after %s: %w; run `winnow audit verify`", path, err)
		}
		if !end.clean() {
			before = history{names: names, size: end.size}
		}
		if w.seg, err = openSegment(path, end.size, end.modified); err != nil {
			return history{}, err
		}
		break
	}
	w.compareHead()
	return before, nil
}

// compareHead skips the numbers of records that are gone, so that Verify goes on naming them.
func (w *writer) compareHead() {
	head := readHead(w.dir)
	if head.Seq <= w.chain.seq {
		return
	}
	w.note(EventTruncated, fmt.Sprintf("records %d to %d had been written and are missing", w.chain.seq+1, head.Seq))
	w.log.Error("audit records are missing", zap.Uint64("from", w.chain.seq+1), zap.Uint64("to", head.Seq))
	w.chain.seq = head.Seq
	copy(w.chain.prev[:], head.Hash)
}

// A tail is the end of a segment.
type tail struct {
	size     int64  // up to and with the last whole line
	last     []byte // that line
	modified time.Time
}

func (t tail) record() (Record, error) {
	var r Record
	err := json.Unmarshal(t.last, &r)
	return r, err
}

func (t tail) chain() (chain, error) {
	r, err := t.record()
	return chain{seq: r.Seq, prev: hashLine(t.last)}, err
}

// clean reports whether the process before ended in order with nothing in flight.
func (t tail) clean() bool {
	r, err := t.record()
	return err == nil && r.Event == EventClosed && r.Reason == ""
}

// tailWindow covers the last commit, the only one that a crash can have torn: two full queues and their chain fields.
const tailWindow = 4 * maxQueued

// recoverTail finds the end of the segment at path. What stands after the last whole line, or from the first torn
// one on, goes to a file beside it.
func (w *writer) recoverTail(path string) (tail, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return tail{}, fmt.Errorf("recovering the audit log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return tail{}, fmt.Errorf("recovering the audit log: %w", err)
	}
	var found tail
	for window := min(info.Size(), tailWindow); ; window = info.Size() {
		from := info.Size() - window
		b := make([]byte, window)
		if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
			return tail{}, fmt.Errorf("recovering the audit log: %w", err)
		}
		if found = wholeLines(b, from); found.size > 0 || from == 0 {
			break
		}
	}
	found.modified = info.ModTime()
	if found.size == info.Size() {
		return found, nil
	}
	return found, w.cutTail(f, found.size, info.Size())
}

// wholeLines finds the end of the whole lines in b, which begins at offset from of a segment: after its first
// newline, unless that offset is 0.
func wholeLines(b []byte, from int64) tail {
	start := 0
	if from > 0 {
		start = bytes.IndexByte(b, '\n') + 1
		if start == 0 {
			return tail{}
		}
	}
	if t, ok := closedTail(b, from); ok {
		return t
	}
	end := start
	for end < len(b) {
		n := bytes.IndexByte(b[end:], '\n')
		if n < 0 || !framed(b[end:end+n]) {
			break
		}
		end += n + 1
	}
	for end > start { // the chain goes on from the last one: it has to be read, too
		begin := start + bytes.LastIndexByte(b[start:end-1], '\n') + 1
		if line := b[begin : end-1]; json.Valid(line) {
			return tail{size: from + int64(end), last: line}
		}
		end = begin
	}
	return tail{}
}

// closedTail is the short way for a log that was closed in order: all before its last line was durable then.
func closedTail(b []byte, from int64) (tail, bool) {
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return tail{}, false
	}
	line := b[bytes.LastIndexByte(b[:len(b)-1], '\n')+1 : len(b)-1]
	t := tail{size: from + int64(len(b)), last: line}
	r, err := t.record()
	return t, err == nil && framed(line) && r.Event == EventClosed
}

// framed reports whether line begins and ends as records do and holds no control character. Lost pages read as
// zeros, so this tells torn lines from whole ones; changed ones are for Verify to find, and are never cut off here.
func framed(line []byte) bool {
	if len(line) > maxLine || !bytes.HasPrefix(line, []byte(`{"seq":`)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return false
	}
	for _, c := range line {
		if c < 0x20 {
			return false
		}
	}
	return true
}

// cutTail takes the bytes from size to end off the segment and keeps them aside.
func (w *writer) cutTail(f *os.File, size, end int64) error {
	aside := fmt.Sprintf("%s.%d.torn", f.Name(), size)
	out, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("keeping a torn audit record aside: %w", err)
	}
	_, err = io.Copy(out, io.NewSectionReader(f, size, end-size))
	err = errors.Join(err, w.sync.data(out), out.Close(), w.sync.dir(w.dir))
	if err == nil {
		err = errors.Join(f.Truncate(size), w.sync.data(f))
	}
	if err != nil {
		return fmt.Errorf("keeping a torn audit record aside: %w", err)
	}
	w.log.Warn("the audit log ended in a torn record, which was cut off", zap.String("kept", aside), zap.Int64("bytes", end-size))
	w.note(EventRecovered, fmt.Sprintf("%d bytes after the last whole record are kept in %s", end-size, filepath.Base(aside)))
	return nil
}
