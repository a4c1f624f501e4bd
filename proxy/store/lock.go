package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockName = "winnow.lock"

// lockDirectory takes the lock of a store's directory or says who has it. The kernel gives it back when the process
// ends, however it ends.
func lockDirectory(root string) (*os.File, error) {
	path := filepath.Join(root, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, unusable(root, err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := "another process"
		if text, readErr := os.ReadFile(path); readErr == nil {
			if pid, atoiErr := strconv.Atoi(strings.TrimSpace(string(text))); atoiErr == nil {
				holder = fmt.Sprintf("process %d", pid)
			}
		}
		err = fmt.Errorf("opening the store: %s is in use by %s: stop it, or set store.parameters.rootdirectory to another directory", root, holder)
		return nil, errors.Join(err, file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: locking %s: %w", path, err), file.Close())
	}
	// The process id is for people; a disk that is full must not keep us from serving what it holds.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return file, nil
}
