package admission

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

// Aliases of the words that the front end speaks with the gate.
type (
	Reference = policy.Reference
	Requester = policy.Requester
	Verdict   = policy.Verdict
)

// InspectorVersion names the code that reads manifests and configurations. It is part of every verdict: counted up
// whenever the same bytes come to be read differently.
const InspectorVersion = "manifest/1"

const (
	defaultHold        = 25 * time.Second // containerd 2.3 gives up on headers after 30 s
	defaultTimeout     = 10 * time.Minute
	defaultTTL         = time.Minute
	defaultStale       = 24 * time.Hour
	defaultConcurrency = 4

	// maxWaiting bounds the flights that wait for their turn at one upstream; what exceeds it is answered 503.
	maxWaiting = 1024
	// missingTTL is how long "no such tag" is believed. Short, since people push and pull again at once; long enough
	// that a scan of made-up names does not become a scan of the upstream.
	missingTTL = 10 * time.Second
)

// Options holds what a Gate needs. Interfaces are required but where they say otherwise.
type Options struct {
	Upstream     Upstream
	Lister       Lister
	Store        Store
	Blobs        Blobs
	Verdicts     Verdicts
	Tags         Tags
	Grants       Grants
	Leases       Leases
	Explanations Explanations
	Inspector    Inspector // nil: a policy that needs layer contents refuses
	Slimmer      Slimmer   // nil: a policy that wants an image slimmed refuses it

	TTL         time.Duration // how long a resolution is used without asking again; 0 means 60 s
	Stale       time.Duration // how long it is used while the upstream is down; 0 means 24 h, negative not at all
	Hold        time.Duration // how long a client waits for a verdict before it is told to ask again; 0 means 25 s
	Timeout     time.Duration // how long one admission may take; 0 means 10 min
	Concurrency int           // admissions at once per upstream; 0 means 4
	MaxSize     int64         // of an image, config and layers as declared, bytes; 0 means no limit

	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: none
	Now        func() time.Time      // nil: time.Now
}

// A Gate admits images. Safe for concurrent use.
type Gate struct {
	Options
	rules   atomic.Pointer[ruling]
	flights flights
	queues  queues
	rebuilt recent
	metrics metrics
}

// A ruling is what decides at one moment: a request uses the one it began with to its end.
type ruling struct {
	set   *policy.Set
	epoch string
}

// New returns a gate that judges by set under epoch, the identity of the advisories ("" while there are none).
func New(set *policy.Set, epoch string, opts Options) *Gate {
	setDefault(&opts.TTL, defaultTTL)
	setDefault(&opts.Stale, defaultStale)
	setDefault(&opts.Hold, defaultHold)
	setDefault(&opts.Timeout, defaultTimeout)
	setDefault(&opts.Concurrency, defaultConcurrency)
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	g := &Gate{Options: opts}
	g.flights.timeout = opts.Timeout
	g.queues.width = opts.Concurrency
	g.metrics.register(opts.Registerer)
	g.Rule(set, epoch)
	return g
}

func setDefault[T ~int | ~int64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Rule makes set and epoch decide from the next request on. What was decided under others is not believed any more.
func (g *Gate) Rule(set *policy.Set, epoch string) { g.rules.Store(&ruling{set: set, epoch: epoch}) }

// Revision and Epoch name what decides now.
func (g *Gate) Revision() string { return g.rules.Load().set.Revision() }

// Epoch is the identity of the advisories that decide now.
func (g *Gate) Epoch() string { return g.rules.Load().epoch }

// An Admitted image may be served: its manifest is Body, or what Manifest reads for a HEAD that needs none.
type Admitted struct {
	Reference policy.Reference // with the digest that is served
	Resolved  string           // the digest that was resolved; differs from Reference.Digest after slimming
	MediaType string
	Size      int64
	Body      []byte // shared, not to be changed; nil unless asked for
	Verdict   *policy.Verdict
	Cached    bool // whether the verdict was remembered
	Stale     bool // whether the upstream could not be asked and an older resolution was used
}

// Admit decides on the image that ref names and, with body, returns its manifest. The error is *Denied, *Pending, a
// Fault, or the context's.
func (g *Gate) Admit(ctx context.Context, ref policy.Reference, who policy.Requester, body bool) (Admitted, error) {
	rule := g.rules.Load()
	hold := g.newHold()
	defer hold.stop()
	stale := false
	if ref.Digest == "" {
		r, old, err := g.resolve(ctx, ref, hold)
		if err != nil {
			return Admitted{}, err
		}
		ref.Digest, stale = r.Digest, old
	}
	ref, v, cached, err := g.judge(ctx, rule, ref, who, hold)
	if err != nil {
		return Admitted{}, err
	}
	resolved := ref.Digest
	if v.Decision == policy.Slim && ref.Tag != "" && v.SlimDigest != "" {
		// Slimmed bytes are never served under another digest: what was asked for by tag is answered with their own.
		ref.Digest = v.SlimDigest
		if ref, v, cached, err = g.judge(ctx, rule, ref, who, hold); err != nil {
			return Admitted{}, err
		}
	}
	if v.Decision != policy.Admit {
		return Admitted{}, &Denied{Reference: ref, Verdict: v, Cached: cached, Stale: stale}
	}
	a := Admitted{
		Reference: ref, Resolved: resolved, MediaType: v.MediaType, Size: v.Size,
		Verdict: v, Cached: cached, Stale: stale,
	}
	if body {
		if a.Body, err = g.manifest(ctx, ref); err != nil {
			return Admitted{}, err
		}
	}
	return a, nil
}

// manifest returns the bytes of an admitted manifest: held ones, or the upstream's where eviction took them.
func (g *Gate) manifest(ctx context.Context, ref policy.Reference) ([]byte, error) {
	if raw, err := g.Store.Get(ctx, ref.Digest, manifest.MaxSize); err == nil {
		return raw, nil
	}
	raw, _, err := documents{g}.Manifest(ctx, ref)
	return raw, err
}

// Explain returns the refusal that the page of that id explains.
func (g *Gate) Explain(ctx context.Context, id string) (*policy.Verdict, bool) {
	return g.Explanations.Explanation(ctx, id)
}
