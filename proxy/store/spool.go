package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// newSpool opens the file that one fetch is written to. On object stores it has no name from the start, so that
// nothing is left of it when the process ends, however it ends.
func (s *Store) newSpool() (*os.File, error) {
	if s.disk != nil {
		return s.disk.create()
	}
	return namelessFile(s.spoolDir())
}

func namelessFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "winnow-spool-")
	if err != nil {
		return nil, fmt.Errorf("creating a spool file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("creating a spool file: %w", err), file.Close())
	}
	return file, nil
}

// checkSpoolDir finds out at the start whether objects can be spooled. A full disk passes, it may be emptied.
func checkSpoolDir(dir string) error {
	file, err := namelessFile(dir)
	if isNoSpace(err) {
		return nil
	}
	if err != nil {
		var detail *fs.PathError
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return fmt.Errorf("opening the store: cannot write to the spool directory %s: %w: make it writable, or set TMPDIR", dir, err)
	}
	return file.Close()
}

// reopen opens a second description of an open file, with an offset of its own, whatever name the file has by now.
// Only Linux can; elsewhere readers copy through a buffer.
func reopen(file *os.File) (*os.File, error) {
	return os.Open("/proc/self/fd/" + strconv.FormatUint(uint64(file.Fd()), 10))
}
