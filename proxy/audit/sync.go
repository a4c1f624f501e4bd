package audit

import (
	"errors"
	"fmt"
	"os"
)

// A syncer makes writes durable; the zero value does so.
type syncer struct {
	off  bool
	file func(*os.File) error // in place of fdatasync, in tests: no real disk fails on demand
}

func (s syncer) data(f *os.File) error {
	switch {
	case s.off:
		return nil
	case s.file != nil:
		return s.file(f)
	}
	return fdatasync(f)
}

// dir makes created and renamed names in path durable.
func (s syncer) dir(path string) error {
	if s.off {
		return nil
	}
	d, err := os.Open(path)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("syncing the audit folder: %w", err)
	}
	return nil
}
