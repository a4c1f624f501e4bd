package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// scanBatch is how many entries of a folder are held at once while counting.
const scanBatch = 1024

// A found object, as a scan meets it.
type found struct {
	addr address
	size int64
	used time.Time // last use on the filesystem driver, else when it was stored
}

// scan calls visit for each object that storage holds.
func (s *Store) scan(ctx context.Context, visit func(found)) error {
	if s.disk != nil {
		return s.disk.scan(ctx, visit)
	}
	err := s.driver.Walk(ctx, blobsRoot, func(info storagedriver.FileInfo) error {
		if addr, ok := addressOfPath(info.Path()); ok && !info.IsDir() {
			visit(found{addr, info.Size(), info.ModTime()})
		}
		return ctx.Err()
	})
	if err != nil && !isAbsent(cause(err)) {
		return fmt.Errorf("counting the objects: %w", err)
	}
	return nil
}

func (d *disk) scan(ctx context.Context, visit func(found)) error {
	for _, algorithm := range []string{"sha256", "sha512"} {
		top := filepath.Join(d.root, filepath.FromSlash(blobsRoot), algorithm)
		err := eachEntry(ctx, top, func(prefix string) error {
			return eachEntry(ctx, filepath.Join(top, prefix), func(hex string) error {
				addr, err := parseAddress(algorithm + ":" + hex)
				if err != nil {
					return nil // not ours
				}
				if info, err := os.Lstat(d.file(addr)); err == nil && info.Mode().IsRegular() {
					visit(found{addr, info.Size(), info.ModTime()})
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachEntry calls visit with the names in a folder, a batch at a time. A folder that is gone is empty.
func eachEntry(ctx context.Context, dir string, visit func(name string) error) error {
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("counting the objects: %w", err)
	}
	defer folder.Close() // was only read
	for {
		names, err := folder.Readdirnames(scanBatch)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			// A name that is no folder, in a place where only folders are, is not ours.
			if isAbsent(err) {
				return nil
			}
			return fmt.Errorf("counting the objects: %w", err)
		}
	}
}
