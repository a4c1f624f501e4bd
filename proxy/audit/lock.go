package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir takes the folder for this process until the returned file is closed. Two writers would fork the chain.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("audit folder %s is not writable: %w; give uid %d write access or set audit.path", dir, err, os.Getuid())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner := make([]byte, 20)
		n, _ := f.ReadAt(owner, 0)
		_ = f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking audit folder %s: %w", dir, err)
		}
		return nil, fmt.Errorf("audit folder %s is in use by process %s; stop it, or give this one its own audit.path", dir, strings.TrimSpace(string(owner[:n])))
	}
	// The number is for the message above only; a full disk must not keep the log from opening.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
