package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"
)

const (
	// lockTimeout is how long another process may take to let go of the file: the overlap of a restart, no more.
	lockTimeout = 100 * time.Millisecond

	// flushEvery is how long a write waits for others to share its fsync. A crash loses that much of a cache.
	flushEvery = 50 * time.Millisecond

	// flushBytes and maxUnwritten bound what waits: beyond the first it is written at once, beyond the second (a disk
	// that does not keep up) what comes is not kept, and counted.
	flushBytes   = 1 << 20
	maxUnwritten = 32 << 20

	// sweepEvery is how often expired entries are looked for: entries live for days, and a full file is swept at once.
	sweepEvery = 10 * time.Minute
)

// EmbeddedBackend keeps values in one file, written behind: a write is visible to this process at once and on the disk
// within a moment. Its leases are of this process, since a second one cannot open the file.
type EmbeddedBackend struct {
	path string
	max  int64
	log  *zap.Logger
	leases
	hub

	file sync.RWMutex // guards db against being moved aside while it is used
	db   *bolt.DB

	mu        sync.RWMutex // guards what follows; never held while the disk is waited for
	unwritten map[string]record
	sets      map[string]map[string]struct{} // names of the unwritten members of each set
	bytes     int64                          // of unwritten
	fault     error                          // of the last flush
	dropped   int                            // writes that were not kept

	wake  chan struct{}
	done  chan struct{}
	ended sync.WaitGroup
	close sync.Once
}

// A record is what the file holds under a stored key.
type record struct {
	value   []byte
	fence   uint64
	expires time.Time
}

// OpenEmbedded opens the file at path or makes it. maxSize bounds it in bytes. A file that is broken is moved aside.
func OpenEmbedded(path string, maxSize int64, log *zap.Logger) (*EmbeddedBackend, error) {
	if path == "" {
		return nil, errors.New("opening the embedded cache: no path is given; set cache.embedded.path")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("opening the embedded cache: %w", err)
	}
	e := &EmbeddedBackend{
		path: path, max: maxSize, log: log,
		unwritten: map[string]record{},
		sets:      map[string]map[string]struct{}{},
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
	}
	db, err := openFile(path)
	if errors.Is(err, errCorrupt) {
		if err = e.moveAside(err); err == nil {
			db, err = openFile(path)
		}
	}
	if err != nil {
		return nil, err
	}
	e.db = db
	e.ended.Go(e.run)
	return e, nil
}

// Close writes what waits and lets go of the file.
func (e *EmbeddedBackend) Close() error {
	var err error
	e.close.Do(func() {
		close(e.done)
		e.ended.Wait()
		e.flush()
		e.file.Lock()
		defer e.file.Unlock()
		err = guard(e.db, (*bolt.DB).Close)
	})
	return err
}

func (e *EmbeddedBackend) run() {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	swept := time.Now()
	for {
		select {
		case <-e.done:
			return
		case <-flush.C:
		case <-e.wake:
		}
		wrote, since := e.flush(), time.Since(swept)
		if since > sweepEvery || wrote && since > sweepAgain && e.excess() > 0 {
			e.sweep(time.Now())
			swept = time.Now()
		}
	}
}

// state returns why the last write failed, if it did, and how many were not kept.
func (e *EmbeddedBackend) state() (fault error, dropped int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.fault, e.dropped
}
