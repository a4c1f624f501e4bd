package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	rootParameter = "rootdirectory"
	// dirMode and fileMode keep content of private registries from other users of the machine.
	dirMode  = 0o700
	fileMode = 0o600
	// worldWritable is the permission that a root directory must not have: everybody could plant objects in it.
	worldWritable = 0o002
	// commitTries bounds how often the folder of an object may be removed by eviction while it is renamed into place.
	commitTries = 5
)

// disk is the fast path of the filesystem driver: the same files, without the driver's buffers and limits.
type disk struct {
	root  string
	lock  *os.File
	spool string // folder of unfinished objects
	boot  string // prefix of the names this process gives to them
	count atomic.Uint64
}

func openDisk(root string, log *zap.Logger) (*disk, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", root, err)
	}
	d := &disk{root: root, spool: filepath.Join(root, filepath.FromSlash(uploadsRoot)), boot: rand.Text()}
	if err := os.MkdirAll(root, dirMode); err != nil {
		return nil, unusable(root, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, unusable(root, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("opening the store: %s is not a directory: set store.parameters.rootdirectory to one", root)
	}
	if info.Mode().Perm()&worldWritable != 0 {
		return nil, fmt.Errorf("opening the store: %s is writable by everybody, who could plant images in it: run chmod o-w %s", root, root)
	}
	warnForeign(root, info, log)
	if d.lock, err = lockDirectory(root); err != nil {
		return nil, err
	}
	for _, dir := range []string{d.spool, filepath.Join(root, filepath.FromSlash(blobsRoot))} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, errors.Join(unusable(root, err), d.close())
		}
	}
	if err := d.probe(); err != nil {
		return nil, errors.Join(unusable(root, err), d.close())
	}
	return d, nil
}

func unusable(root string, err error) error {
	var detail *fs.PathError
	if errors.As(err, &detail) {
		err = detail.Err
	}
	if isNoSpace(err) {
		return fmt.Errorf("opening the store: cannot write to %s: %w: free some space on its filesystem", root, err)
	}
	return fmt.Errorf("opening the store: cannot write to %s: %w: make it writable for user id %d, or set store.parameters.rootdirectory to a directory that is",
		root, err, os.Geteuid())
}

// warnForeign tells of what is allowed and often wrong.
func warnForeign(root string, info fs.FileInfo, log *zap.Logger) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		log.Warn("the store belongs to another user", zap.String("directory", root), zap.Uint32("owner", sys.Uid), zap.Int("user", os.Geteuid()))
	}
	if name := networkFilesystem(root); name != "" {
		log.Warn("the store is on a network filesystem: its lock may not hold between machines", zap.String("directory", root), zap.String("type", name))
	}
}

// probe creates a file and lets it go again. A full disk passes: what is held can be served.
func (d *disk) probe() error {
	spool, err := d.create()
	if err != nil {
		if isNoSpace(err) {
			return nil
		}
		return err
	}
	return errors.Join(spool.Close(), os.Remove(spool.Name()))
}

func (d *disk) close() error {
	if d == nil || d.lock == nil {
		return nil
	}
	// Closing gives the lock back; the file stays, since removing it would let two processes lock two files.
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("closing the store's lock: %w", err)
	}
	return nil
}

func (d *disk) file(addr address) string { return d.root + addr.path() }

// create opens a new spool file.
func (d *disk) create() (*os.File, error) {
	name := fmt.Sprintf("%s/%s-%d", d.spool, d.boot, d.count.Add(1))
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrNotExist) { // somebody tidied up
		if err = os.MkdirAll(d.spool, dirMode); err == nil {
			file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creating a spool file: %w", err)
	}
	return file, nil
}

// commit makes a verified spool file the object. The file is on disk before it has the object's name.
func (d *disk) commit(spool *os.File, addr address) error {
	if err := spool.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", addr, err)
	}
	target := d.file(addr)
	var err error
	for range commitTries {
		if err = os.MkdirAll(filepath.Dir(target), dirMode); err != nil {
			break
		}
		if err = os.Rename(spool.Name(), target); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", addr, err)
	}
	return nil
}

// open opens an object's file and returns its size.
func (d *disk) open(addr address) (*os.File, int64, error) {
	file, err := os.Open(d.file(addr))
	if err != nil {
		return nil, 0, storageFault("opening", addr.text, err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = file.Close() // was only read
		if err == nil {
			err = fmt.Errorf("%s is not a regular file", d.file(addr))
		}
		return nil, 0, storageFault("opening", addr.text, err)
	}
	return file, info.Size(), nil
}

func (d *disk) stat(addr address) (int64, error) {
	info, err := os.Stat(d.file(addr))
	if err != nil {
		return 0, storageFault("looking up", addr.text, err)
	}
	if !info.Mode().IsRegular() {
		return 0, notFound(addr.text)
	}
	return info.Size(), nil
}

// remove unlinks an object; whoever has it open reads on.
func (d *disk) remove(addr address) error {
	target := d.file(addr)
	if err := os.Remove(target); err != nil {
		return storageFault("removing", addr.text, err)
	}
	// The folder is the object's own. Where another object is being committed into it, it is not empty, or commit
	// makes it again.
	_ = os.Remove(filepath.Dir(target))
	return nil
}

// touch keeps when an object was last used where a restart finds it: in its modification time. Its content never
// changes, so that time has no other use.
func (d *disk) touch(addr address, used time.Time) error {
	if err := os.Chtimes(d.file(addr), used, used); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting the last use of %s: %w", addr, err)
	}
	return nil
}

// leftovers calls visit for each spool file that an earlier process left behind.
func (d *disk) leftovers(ctx context.Context, visit func(path string, size int64)) error {
	entries, err := os.ReadDir(d.spool)
	if err != nil {
		return fmt.Errorf("listing spool files: %w", err)
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// We hold the lock of the directory, so whoever wrote under another prefix is gone.
		if entry.IsDir() || strings.HasPrefix(entry.Name(), d.boot) {
			continue
		}
		if info, err := entry.Info(); err == nil {
			visit(filepath.Join(d.spool, entry.Name()), info.Size())
		}
	}
	return nil
}
