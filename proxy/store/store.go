package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"go.uber.org/zap"
)

// Drivers that are treated specially.
const (
	driverFilesystem = "filesystem"
	driverS3         = "s3"
	driverS3AWS      = "s3aws"
)

const (
	// s3ChunkSize is the smallest part that S3 takes. The driver's default is twice that, per upload, in memory; with
	// this one an object may still have 50 GB (10,000 parts).
	s3ChunkSize = 5 << 20
	// bufferSize is what one fetch holds in memory: large enough that system calls do not count beside hashing,
	// small enough that it stays in the processor's cache.
	bufferSize = 128 << 10
)

// A Store holds objects by digest. Its methods may be used from any number of goroutines.
type Store struct {
	opts    Options
	log     *zap.Logger
	driver  storagedriver.StorageDriver
	disk    *disk // of the filesystem driver; nil on object stores
	index   *index
	hot     *hotObjects
	metrics *metrics

	fillSlots   chan struct{}
	uploadSlots chan struct{}
	buffers     sync.Pool

	evictNow chan struct{}
	evicting sync.Mutex // one eviction at a time, so that two do not both make room for one object

	fault atomic.Pointer[error] // why the last write failed; nil once one succeeded

	mu      sync.Mutex
	fills   map[fillKey]*Fill
	closed  bool
	running sync.WaitGroup
	stop    context.CancelFunc // of the background work
}

// Open opens or creates a store. On the filesystem driver it takes the lock of the directory, so that two daemons
// cannot share it, and refuses a directory that it cannot write to or that everybody can. It is ready at once: what
// the directory holds is counted in the background.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{
		opts:  opts.withDefaults(),
		fills: map[fillKey]*Fill{},
	}
	s.log = s.opts.Log
	s.fillSlots = make(chan struct{}, s.opts.MaxFills)
	s.uploadSlots = make(chan struct{}, s.opts.Uploads)
	s.evictNow = make(chan struct{}, 1)
	s.buffers.New = func() any { return new([bufferSize]byte) }
	s.index = newIndex()
	s.hot = newHotObjects(s.opts.HotBytes)

	driver, err := newDriver(ctx, s.opts)
	if err != nil {
		return nil, err
	}
	s.driver = driver
	if s.opts.Driver == driverFilesystem {
		if s.disk, err = openDisk(fmt.Sprint(s.opts.Parameters[rootParameter]), s.log); err != nil {
			return nil, err
		}
	} else if err := checkSpoolDir(s.spoolDir()); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(s.opts.Registerer, s.index); err != nil {
		return nil, errors.Join(err, s.disk.close())
	}

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.running.Go(func() { s.maintain(background) })
	return s, nil
}

func newDriver(ctx context.Context, opts Options) (storagedriver.StorageDriver, error) {
	parameters := maps.Clone(opts.Parameters)
	if parameters == nil {
		parameters = map[string]any{}
	}
	switch opts.Driver {
	case driverFilesystem:
		// The driver would use /var/lib/registry, which belongs to somebody else.
		if root, _ := parameters[rootParameter].(string); root == "" {
			return nil, fmt.Errorf("opening the store: the filesystem driver needs store.parameters.%s: name a directory", rootParameter)
		}
	case driverS3, driverS3AWS:
		if _, ok := parameters["chunksize"]; !ok {
			parameters["chunksize"] = s3ChunkSize
		}
	}
	driver, err := factory.Create(ctx, opts.Driver, parameters)
	var unknown factory.InvalidStorageDriverError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("opening the store: no storage driver %q is built in: store.driver is filesystem, s3, gcs or azure", opts.Driver)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store: driver %s: %w", opts.Driver, err)
	}
	return driver, nil
}

func (s *Store) spoolDir() string {
	if s.opts.SpoolDir != "" {
		return s.opts.SpoolDir
	}
	return os.TempDir()
}

// Close ends running fetches, writes down when objects were last used, and gives the lock of the directory back.
// Objects that are open stay readable until they are closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, fill := range s.fills {
		fill.cancel()
	}
	s.mu.Unlock()

	s.stop()
	s.running.Wait()
	s.saveAccess()
	s.metrics.unregister(s.opts.Registerer)
	return s.disk.close()
}

// Err returns why objects cannot be stored at present, or nil. Objects that are held are served all the same, and so
// is what readers of a Fill fetch past the storage. It is nil again after the first write that succeeds.
func (s *Store) Err() error {
	if fault := s.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// wrote keeps the outcome of a write for Err.
func (s *Store) wrote(err error) error {
	if err == nil {
		if s.fault.Load() != nil {
			s.fault.Store(nil)
			s.log.Info("storage takes writes again")
		}
		return nil
	}
	if s.fault.Swap(&err) == nil {
		s.log.Error("storage does not take writes; serving without storing", zap.Error(err))
	}
	s.metrics.faults.Inc()
	return err
}

// Stat returns the size of an object. The error of one that is not held has status 404.
func (s *Store) Stat(ctx context.Context, digest string) (int64, error) {
	addr, err := parseAddress(digest)
	if err != nil {
		return 0, err
	}
	return s.stat(ctx, addr)
}

func (s *Store) stat(ctx context.Context, addr address) (int64, error) {
	if s.disk != nil {
		return s.disk.stat(addr)
	}
	info, err := s.driver.Stat(ctx, addr.path())
	if err != nil {
		return 0, storageFault("looking up", addr.text, err)
	}
	if info.IsDir() {
		return 0, notFound(addr.text)
	}
	return info.Size(), nil
}

// URL returns an address at the object store under which a client may get the object for a limited time, for GET or
// HEAD. It is empty when Redirect is off or the driver has none. It does not look whether the object is held.
func (s *Store) URL(ctx context.Context, digest, method string) (string, error) {
	addr, err := parseAddress(digest)
	if err != nil || !s.opts.Redirect {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, method, "/", nil)
	if err != nil {
		return "", badName("making an address for %s: %w", digest, err)
	}
	url, err := s.driver.RedirectURL(request, addr.path())
	var unsupported storagedriver.ErrUnsupportedMethod
	if errors.As(err, &unsupported) {
		return "", nil
	}
	if err != nil {
		return "", storageFault("making an address for", digest, err)
	}
	if url != "" {
		s.index.used(addr.text)
	}
	return url, nil
}

// Discard removes an object that turned out to be damaged, so that it is fetched again.
func (s *Store) Discard(ctx context.Context, digest string) error {
	addr, err := parseAddress(digest)
	if err != nil {
		return err
	}
	s.log.Error("removing a damaged object", zap.String("digest", addr.text))
	s.metrics.damaged.Inc()
	return s.remove(ctx, addr)
}

// remove takes an object out of memory, storage and index. One that is absent already is no error.
func (s *Store) remove(ctx context.Context, addr address) error {
	s.hot.remove(addr.text)
	var err error
	if s.disk != nil {
		err = s.disk.remove(addr)
	} else if err = s.driver.Delete(ctx, addr.path()); err != nil {
		err = storageFault("removing", addr.text, err)
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	s.index.remove(addr.text)
	return nil
}
