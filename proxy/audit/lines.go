package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	segmentPrefix = "pulls-"
	segmentSuffix = ".jsonl"
)

// segments returns the names of the segments in dir, in the order of their records.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("reading the audit folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, segmentPrefix) && strings.HasSuffix(name, segmentSuffix) && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}

// A lineReader reads lines with bounded memory.
type lineReader struct {
	r      *bufio.Reader
	number int // of the line that next returned last, from 1
}

var (
	errTorn    = errors.New("the last line has no end")
	errTooLong = fmt.Errorf("the line is longer than %d bytes, the longest that a record can be", maxLine)
)

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLine+1)}
}

// next returns the next line without its newline, valid until the next call. It returns io.EOF after the last line,
// errTorn with what stands after the last newline, and errTooLong for a line over maxLine.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errTooLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, errTorn
	default:
		return nil, err
	}
}

// firstLine returns a copy of the first whole line of a segment, or nil where it has none.
func firstLine(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	defer f.Close()
	line, err := newLineReader(io.LimitReader(f, maxLine+1)).next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errTorn), errors.Is(err, errTooLong):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return bytes.Clone(line), nil
}

// eventAndID takes event and id, as they are escaped, from a line this package wrote, without decoding it.
func eventAndID(line []byte) (event, id []byte, ok bool) {
	_, rest, ok := bytes.Cut(line, []byte(`,"event":"`))
	if !ok {
		return nil, nil, false
	}
	event, rest, ok = bytes.Cut(rest, []byte(`","id":"`))
	if !ok {
		return nil, nil, false
	}
	id, _, ok = bytes.Cut(rest, []byte(`","client":`))
	return event, id, ok
}
