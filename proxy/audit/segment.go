package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// fileMode and dirMode let a log shipper in the same group read; addresses and user names are nobody else's business.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// errSuspect marks a fault after which nobody knows what of the segment is on the disk: a second fsync of the same
// file may report success for pages that the kernel has dropped (https://wiki.postgresql.org/wiki/Fsync_Errors).
var errSuspect = errors.New("the segment is sealed as suspect")

// A segment is the file that records are appended to. Only the writer uses it.
type segment struct {
	f    *os.File
	path string
	size int64  // all of it durable
	day  string // UTC, of the first record
}

// createSegment makes the file whose first record is seq. Microseconds in the name tell it from a sealed one that
// was to begin with the same record.
func createSegment(dir string, seq uint64, now time.Time, sync syncer) (*segment, error) {
	now = now.UTC()
	name := fmt.Sprintf("%s%016d-%s%s", segmentPrefix, seq, now.Format("20060102T150405.000000Z"), segmentSuffix)
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("starting an audit segment: %w", err)
	}
	if err := sync.dir(dir); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return &segment{f: f, path: path, day: now.Format(time.DateOnly)}, nil
}

// openSegment opens an existing file to append after its first size bytes, which are known to be whole lines.
func openSegment(path string, size int64, modified time.Time) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the audit segment: %w", err)
	}
	return &segment{f: f, path: path, size: size, day: modified.UTC().Format(time.DateOnly)}, nil
}

// append writes whole lines and makes them durable. After an error none of them is in the segment, or it is errSuspect.
func (s *segment) append(lines []byte, sync syncer) error {
	if _, err := s.f.WriteAt(lines, s.size); err != nil {
		err = fmt.Errorf("writing audit records: %w", err)
		if undo := s.f.Truncate(s.size); undo != nil {
			return errors.Join(errSuspect, err, fmt.Errorf("taking half-written records back: %w", undo))
		}
		return err
	}
	if err := sync.data(s.f); err != nil {
		return errors.Join(errSuspect, fmt.Errorf("syncing audit records: %w", err), s.f.Truncate(s.size))
	}
	s.size += int64(len(lines))
	return nil
}

// close ends a segment. One without a record is removed.
func (s *segment) close() error {
	err := s.f.Close()
	if s.size == 0 {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

// check compares the file at the segment's path with the one that is open.
func (s *segment) check() (gone bool, size int64, err error) {
	own, err := s.f.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("checking the audit segment: %w", err)
	}
	named, err := os.Stat(s.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, 0, fmt.Errorf("checking the audit segment: %w", err)
	}
	return err != nil || !os.SameFile(own, named), own.Size(), nil
}

// restore puts the segment back under its name after somebody unlinked or renamed it.
func (s *segment) restore(sync syncer) error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("restoring the audit segment: %w", err)
	}
	f, err := os.CreateTemp(dir, ".restore-*")
	if err != nil {
		return fmt.Errorf("restoring the audit segment: %w", err)
	}
	_, err = io.Copy(f, io.NewSectionReader(s.f, 0, s.size))
	if err == nil {
		err = errors.Join(f.Chmod(fileMode), sync.data(f))
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("restoring the audit segment: %w", err), f.Close(), os.Remove(f.Name()))
	}
	old := s.f
	s.f = f
	return errors.Join(sync.dir(dir), old.Close())
}
