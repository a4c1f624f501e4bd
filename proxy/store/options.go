package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	// defaultHotBytes holds the manifests and configs of some thousand images; far below the 64 MiB that a busy
	// Winnow may use above idle.
	defaultHotBytes = 16 << 20
	// defaultFillTimeout is enough for a 20 GiB layer at 6 MB/s. That a source still moves is the source's concern.
	defaultFillTimeout = time.Hour
	// defaultMaxFills bounds files, goroutines and buffers (maxFills x bufferSize = 16 MiB at most); more than this
	// many objects at once from upstream would only make each slower.
	defaultMaxFills = 128
	// defaultUploads bounds the drivers' part buffers: three parts of s3ChunkSize, twice while one is sent.
	defaultUploads = 3
	// defaultGrace is longer than a slow client needs for a large layer, and than an upload may take.
	defaultGrace = time.Hour
)

// Options say where a Store keeps its objects and how much it may use. The zero value of each field but Parameters
// has a meaning; the filesystem driver needs the parameter rootdirectory.
type Options struct {
	// Driver is the name of a distribution storage driver that the program imports; empty means filesystem.
	Driver string
	// Parameters are handed to the driver as they are.
	Parameters map[string]any
	// MaxSize is how many bytes of objects to keep. Above it the objects used least recently go, down to nine tenths of it. What is being
	// fetched, and the object stored last, come on top. 0 means no bound. On object stores every replica evicts by
	// what it saw itself, and nothing younger than Grace.
	MaxSize int64
	// Redirect lets URL give addresses at the object store, when the driver can make them.
	Redirect bool
	// SpoolDir holds objects on their way into an object store; empty means the system's temporary directory. The
	// filesystem driver spools below its own root.
	SpoolDir string
	// HotBytes bounds the memory for small objects that were read lately; 0 means 16 MiB, negative none.
	HotBytes int64
	// FillTimeout bounds one fetch from first to last byte; 0 means one hour.
	FillTimeout time.Duration
	// MaxFills bounds how many objects are fetched at once, further ones queue; 0 means 128.
	MaxFills int
	// Uploads bounds how many objects are sent to an object store at once; 0 means 3.
	Uploads int
	// Grace protects objects of shared object stores from eviction and GC while replicas may be using them; 0 means
	// one hour.
	Grace time.Duration
	// Log takes what nobody is told by an error: damaged objects, failed clean-up. Nil means none.
	Log *zap.Logger
	// Registerer takes the winnow_store_… metrics. Nil means none.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Driver == "" {
		o.Driver = driverFilesystem
	}
	if o.HotBytes == 0 {
		o.HotBytes = defaultHotBytes
	}
	if o.FillTimeout <= 0 {
		o.FillTimeout = defaultFillTimeout
	}
	if o.MaxFills <= 0 {
		o.MaxFills = defaultMaxFills
	}
	if o.Uploads <= 0 {
		o.Uploads = defaultUploads
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}
