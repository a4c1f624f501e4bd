package admission

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// An Upstream reaches the registries that are configured, and nothing else. Errors that decide the answer have
// StatusCode, RetryAfter and Reason methods; see Fault.
type Upstream interface {
	// Resolve says what a tag leads to now.
	Resolve(ctx context.Context, upstream, repository, tag string) (policy.Resolution, error)
	// Manifest returns a manifest by digest, its bytes verified, and the Content-Type it came with.
	Manifest(ctx context.Context, upstream, repository, digest string) (raw []byte, contentType string, err error)
	// Blob streams exactly size bytes, or fails. It does not verify the digest.
	Blob(ctx context.Context, upstream, repository, digest string, size int64) (io.ReadCloser, error)
}

// A Lister reads the listings of an upstream. They carry no content and are not remembered.
type Lister interface {
	Tags(ctx context.Context, upstream, repository string, n int, last string) (names []string, more bool, err error)
	Referrers(ctx context.Context, upstream, repository, digest, artifactType string) (index []byte, filtered bool, err error)
}

// A Store keeps small objects, verified by digest, and which manifests were admitted in a repository.
type Store interface {
	Get(ctx context.Context, digest string, limit int64) ([]byte, error)
	Put(ctx context.Context, digest string, b []byte) error
	Links
}

// Links is the durable side of grants: with all caches lost, they are rebuilt from it.
type Links interface {
	Link(ctx context.Context, name, digest string) error
	Linked(ctx context.Context, name string) ([]string, error)
}

// Blobs keeps objects of any size.
type Blobs interface {
	// Open returns a held object, or an error whose StatusCode is 404.
	Open(ctx context.Context, digest string) (Object, error)
	// URL is where the client may fetch a held object itself, or "".
	URL(ctx context.Context, digest, method string) (string, error)
	// Fetch joins the one fill of digest, or starts it from source. It is verified before it is held.
	Fetch(ctx context.Context, digest string, size int64, source func(context.Context) (io.ReadCloser, error)) (Fill, error)
}

// An Object is a held blob.
type Object interface {
	io.ReadSeekCloser
	Size() int64
	File() *os.File  // nil where it is no file of the operating system
	Fault(err error) // tells the store of an error while File was read past it
}

// A Fill is a blob on its way from the upstream into the store.
type Fill interface {
	// Open returns a reader of length bytes from offset that follows the fill. Its end is reached only after the whole
	// object is verified; every fault is an error.
	Open(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// Verdicts, Tags, Grants and Leases are what is remembered across replicas. None of them fails: what cannot be read is
// a miss.
type Verdicts interface {
	Verdict(ctx context.Context, key policy.VerdictKey) (*policy.Verdict, bool)
	PutVerdict(ctx context.Context, v *policy.Verdict, fence uint64)
}

// Tags remembers what tags led to, and when a digest was met first.
type Tags interface {
	Resolution(ctx context.Context, name string) (policy.Resolution, bool)
	PutResolution(ctx context.Context, name string, r policy.Resolution, keep time.Duration)
	FirstSeen(ctx context.Context, repository, digest string, now time.Time) time.Time
}

// Grants remembers which repository may serve which digest, and by which manifest.
type Grants interface {
	Grants(ctx context.Context, repository, digest string) []policy.Grant
	PutGrants(ctx context.Context, repository string, grants map[string]policy.Grant)
}

// Leases makes sure that one replica at a time admits a digest.
type Leases interface {
	Acquire(ctx context.Context, key string) (release func(), fence uint64, err error)
}

// Explanations keeps refusals for the page that explains them.
type Explanations interface {
	Explanation(ctx context.Context, id string) (*policy.Verdict, bool)
	PutExplanation(ctx context.Context, id string, v *policy.Verdict)
}

// An Inspector adds to contents what the layers of an image hold, up to policy.StageLayers.
type Inspector interface {
	Inspect(ctx context.Context, m *manifest.Manifest, contents policy.Contents) (policy.Contents, error)
}

// A Slimmer makes an image that complies out of one that policy wants slimmed. It returns the digest of the slimmed
// manifest, which it has put into the store with all its blobs; the gate reads and judges it like any other.
type Slimmer interface {
	Slim(ctx context.Context, m *manifest.Manifest, contents policy.Contents) (digest string, err error)
}
