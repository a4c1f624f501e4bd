package audit

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync is fsync without the times of the file, which nothing here depends on.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
