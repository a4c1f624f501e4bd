package cache

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

var (
	errCorrupt = errors.New("file is corrupt")
	values     = []byte("values")
)

func openFile(path string) (db *bolt.DB, err error) {
	// A file that was cut off has no page where the last one says; see guard.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		// bbolt asserts what a file may hold; a file that breaks it is no reason to end the process.
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("opening %s: %w: %v", path, errCorrupt, r)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("opening %s: another winnow uses it; stop that one, or set cache.embedded.path to another file", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("opening %s: %w: %w", path, errCorrupt, err)
	case err != nil && tooShort(path):
		return nil, fmt.Errorf("opening %s: %w: %w", path, errCorrupt, err)
	case err != nil:
		return nil, fmt.Errorf("opening the embedded cache: %w", err)
	}
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

// prepare makes the bucket and refuses a file that is shorter than its own pages: to read those from the memory map
// would end the process.
func prepare(db *bolt.DB) error {
	made := false
	err := db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: %d bytes of %d are there", errCorrupt, info.Size(), tx.Size())
		}
		made = tx.Bucket(values) != nil
		return nil
	})
	if err != nil || made {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(values)
		return err
	})
}

// tooShort reports whether the file holds less than the pages that every one of them starts with.
func tooShort(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0 && info.Size() < int64(4*os.Getpagesize())
}

// moveAside keeps a broken file for whoever wants to know what happened, under a name that is not used.
func (e *EmbeddedBackend) moveAside(why error) error {
	aside := e.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000")
	if err := os.Rename(e.path, aside); err != nil {
		return fmt.Errorf("moving the corrupt embedded cache aside: %w", err)
	}
	e.log.Error("the embedded cache was corrupt and starts empty; times of first sight that only it knew start anew",
		zap.String("moved to", aside), zap.Error(why))
	return nil
}

// within runs doing on the file. A file that turns out to be broken is moved aside, and a new one takes its place.
func (e *EmbeddedBackend) within(what string, doing func(*bolt.DB) error) error {
	e.file.RLock()
	db := e.db
	err := guard(db, doing)
	e.file.RUnlock()
	if errors.Is(err, errCorrupt) {
		e.replace(db, err)
	}
	if err != nil {
		return fmt.Errorf("%s in the embedded cache: %w", what, err)
	}
	return nil
}

// guard runs doing and turns a panic of the library, which asserts what it reads, and a fault of the memory map into
// an error.
func guard(db *bolt.DB, doing func(*bolt.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errCorrupt, r)
		}
	}()
	return doing(db)
}

// replace moves the broken file aside and opens a new one; many may find out at once, the first one acts.
func (e *EmbeddedBackend) replace(db *bolt.DB, why error) {
	e.file.Lock()
	defer e.file.Unlock()
	if e.db != db {
		return
	}
	if err := e.moveAside(why); err != nil {
		e.log.Error("the embedded cache is corrupt", zap.Error(err))
		return
	}
	fresh, err := openFile(e.path)
	if err != nil {
		e.log.Error("making a new embedded cache", zap.Error(err))
		return
	}
	e.db = fresh
	// A transaction that broke in the middle may hold locks that Close waits for; the file is gone either way.
	go func() { _ = guard(db, (*bolt.DB).Close) }()
}
