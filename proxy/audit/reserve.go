package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// reserveSize is room for about two thousand refusals, and for nothing else, once the disk is full.
const reserveSize = 1 << 20

// A reserve is disk space held for the time when there is none.
type reserve struct {
	path string
	held bool
}

// hold takes the space, where it is not held yet. The content does not compress: a filesystem that compresses would
// hold nothing.
func (r *reserve) hold(sync syncer) error {
	if r.held {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("holding the audit reserve: %w", err)
	}
	noise := make([]byte, reserveSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	_, err = bytes.NewReader(noise).WriteTo(f)
	if err == nil {
		err = sync.data(f)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("holding the audit reserve: %w", err), f.Truncate(0), f.Close())
	}
	r.held = true
	return f.Close()
}

// release gives the space to the filesystem, for the next records.
func (r *reserve) release() error {
	r.held = false
	if err := os.Truncate(r.path, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("releasing the audit reserve: %w", err)
	}
	return nil
}

// newReserve returns the reserve in dir, which an earlier process may have left held.
func newReserve(dir string) reserve {
	r := reserve{path: filepath.Join(dir, "reserve")}
	info, err := os.Stat(r.path)
	r.held = err == nil && info.Size() == reserveSize
	return r
}

// diskFull reports whether err goes away when space does come back.
func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
