package cache

import (
	"crypto/tls"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Options says where a Cache keeps what it remembers. Only Path is required.
type Options struct {
	// Path is the file of the embedded store. It is made when it does not exist, together with its folder, readable by
	// its owner only.
	Path string

	// Redis is shared by replicas. The zero value means none: one replica that needs no other service.
	Redis Redis

	// MACKeyFile holds the key that seals every entry: at least 32 random bytes, as they are or in base64. All replicas
	// on one Redis need the same. Required with Redis; without, a key is made beside Path on the first start.
	MACKeyFile string

	// MaxEntries and MaxBytes bound the memory tier; the least recently used goes first. Zero means 100,000 entries and
	// 64 MiB: the verdicts of some ten thousand images with their grants, on the smallest machine that runs a registry.
	MaxEntries int
	MaxBytes   int64

	// MaxSize bounds the embedded file, in bytes. Zero means 512 MiB, about a million entries.
	MaxSize int64

	// LocalTTL is how long this process may answer from memory without having asked Redis again. It bounds how long a
	// lost message about a change can go unnoticed. Zero means 30 s; it has no meaning without Redis.
	LocalTTL time.Duration

	// LeaseTTL is how long a lease outlives a holder that died. Zero means 10 s.
	LeaseTTL time.Duration

	// Log gets changes of state: degraded, recovered, moved aside. Nil means none.
	Log *zap.Logger

	// Registerer gets the metrics, named winnow_cache_…. Nil means none.
	Registerer prometheus.Registerer
}

// Redis says how to reach it. One address is a single server, several are a Cluster, and with SentinelMaster they are
// the Sentinels that know the master of that name.
type Redis struct {
	Addresses      []string // host:port
	Username       string   // of an ACL user; empty = the default user
	PasswordFile   string   // read again for each new connection, so that a password can be changed without a restart
	TLS            bool
	TLSConfig      *tls.Config // only with TLS; nil = the system's roots, TLS 1.2 and later
	SentinelMaster string
}

func (r Redis) configured() bool { return len(r.Addresses) > 0 }

const (
	defaultMaxEntries = 100_000
	defaultMaxBytes   = 64 << 20
	defaultMaxSize    = 512 << 20
	defaultLocalTTL   = 30 * time.Second
	defaultLeaseTTL   = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultMaxEntries
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.LocalTTL <= 0 {
		o.LocalTTL = defaultLocalTTL
	}
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = defaultLeaseTTL
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}
