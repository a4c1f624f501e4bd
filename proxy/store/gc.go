package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"go.uber.org/zap"
)

// GCOptions say what GC removes beyond what nobody can want: what crashes left behind, links to manifests that are
// not held, and the objects above MaxSize. The zero value removes just that.
type GCOptions struct {
	// Keep removes objects that were not used for longer; 0 means that time alone removes none. On object stores it
	// counts from when an object was stored, unless this process saw it used.
	Keep time.Duration
	// Referenced removes objects for which it returns false; nil means that all are wanted. Objects younger than
	// Options.Grace are not asked about: their manifest may be on its way.
	Referenced func(digest string) bool
	// Verify reads every object and removes those that do not hash to their digest.
	Verify bool
	// DryRun removes nothing, and reports what would be removed.
	DryRun bool
}

// A Report counts what GC found and removed.
type Report struct {
	Objects      int   `json:"objects"` // held before
	Bytes        int64 `json:"bytes"`
	Removed      int   `json:"removed"` // objects, damaged ones included
	RemovedBytes int64 `json:"removedBytes"`
	Damaged      int   `json:"damaged"`  // found by Verify
	Leftovers    int   `json:"leftover"` // unfinished files of processes that ended
	Links        int   `json:"links"`    // removed, since their manifest is not held
}

// GC removes what is not needed. It may run while the store is in use: downloads go on, and an object that is wanted
// again is fetched again. On object stores it may run beside replicas; what is younger than Options.Grace stays.
func (s *Store) GC(ctx context.Context, opts GCOptions) (Report, error) {
	g := &collection{store: s, opts: opts, now: time.Now(), held: map[string]bool{}}
	steps := []func(context.Context) error{g.leftovers, g.objects, g.oversize, g.links}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return g.report, fmt.Errorf("collecting garbage: %w", err)
		}
	}
	return g.report, nil
}

// A collection is one run of GC.
type collection struct {
	store  *Store
	opts   GCOptions
	now    time.Time
	report Report
	held   map[string]bool // objects that stay
}

func (g *collection) leftovers(ctx context.Context) error {
	s := g.store
	if s.disk != nil {
		return s.disk.leftovers(ctx, func(path string, _ int64) {
			g.report.Leftovers++
			if !g.opts.DryRun {
				_ = os.Remove(path)
			}
		})
	}
	return g.walk(ctx, uploadsRoot, func(info storagedriver.FileInfo) error {
		if g.young(info.ModTime()) {
			return nil
		}
		g.report.Leftovers++
		return g.delete(ctx, info.Path())
	})
}

// objects decides about each object by itself.
func (g *collection) objects(ctx context.Context) error {
	var list []found
	if err := g.store.scan(ctx, func(o found) { list = append(list, o) }); err != nil {
		return err
	}
	for _, o := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.report.Objects++
		g.report.Bytes += o.size
		keep, err := g.wanted(ctx, o)
		if err != nil {
			return err
		}
		if keep {
			g.held[o.addr.text] = true
			g.store.index.counted(o.addr.text, o.size, o.used)
			continue
		}
		if err := g.remove(ctx, o.addr, o.size); err != nil {
			return err
		}
	}
	return nil
}

func (g *collection) wanted(ctx context.Context, o found) (bool, error) {
	s := g.store
	used := o.used
	if e := s.index.find(o.addr.text); e != nil {
		if e.held.Load() > 0 {
			return true, nil
		}
		if seen := time.Unix(0, e.seen.Load()); seen.After(used) {
			used = seen
		}
	}
	if g.opts.Verify {
		sound, err := s.sound(ctx, o.addr)
		if err != nil {
			return false, err
		}
		if !sound {
			g.report.Damaged++
			s.metrics.damaged.Inc()
			s.log.Error("an object is damaged", zap.String("digest", o.addr.text))
			return false, nil
		}
	}
	if g.young(used) {
		return true, nil
	}
	if g.opts.Keep > 0 && g.now.Sub(used) > g.opts.Keep {
		return false, nil
	}
	return g.opts.Referenced == nil || g.opts.Referenced(o.addr.text), nil
}

// sound reads an object through and tells whether it hashes to its digest.
func (s *Store) sound(ctx context.Context, addr address) (bool, error) {
	body, err := s.driver.Reader(ctx, addr.path(), 0)
	if err != nil {
		if isAbsent(cause(err)) {
			return true, nil // evicted in the meantime
		}
		return false, storageFault("verifying", addr.text, err)
	}
	defer body.Close() // was only read
	sum := addr.hash()
	buffer, _ := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buffer)
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{body}, buffer[:]); err != nil {
		if s.disk != nil && ctx.Err() == nil {
			return false, nil // the disk cannot read it
		}
		return false, storageFault("verifying", addr.text, err)
	}
	return addr.is(sum.Sum(nil)), ctx.Err()
}

// oversize removes the objects used least recently above MaxSize.
func (g *collection) oversize(ctx context.Context) error {
	s := g.store
	if s.opts.MaxSize <= 0 {
		return nil
	}
	left := g.report.Bytes - g.report.RemovedBytes
	if left <= s.opts.MaxSize {
		return nil
	}
	target := s.opts.MaxSize / 10 * lowWater
	for _, c := range s.index.candidates() {
		if left <= target {
			return nil
		}
		if !g.held[c.digest] || s.disk == nil && (g.young(time.Unix(0, c.seen)) || g.young(time.Unix(0, c.stored))) {
			continue
		}
		addr, err := parseAddress(c.digest)
		if err != nil {
			continue
		}
		if err := g.remove(ctx, addr, c.size); err != nil {
			return err
		}
		delete(g.held, c.digest)
		left -= c.size
	}
	return nil
}

// links removes those whose manifest is not held, and the unfinished files beside them.
func (g *collection) links(ctx context.Context) error {
	return g.walk(ctx, repositoriesRoot, func(info storagedriver.FileInfo) error {
		if g.young(info.ModTime()) {
			return nil
		}
		file := info.Path()
		if strings.HasPrefix(path.Base(file), "link.") && strings.HasSuffix(file, ".tmp") {
			g.report.Leftovers++
			return g.delete(ctx, file)
		}
		l, ok := linkOfPath(file)
		if !ok || g.held[l.addr.text] {
			return nil
		}
		// It may have been stored again since the objects were listed, beside the link that was there.
		if _, err := g.store.stat(ctx, l.addr); !g.opts.DryRun && !isNotFound(err) {
			return err
		}
		g.report.Links++
		g.store.log.Debug("removing a link to a manifest that is not held", zap.Stringer("link", l))
		return g.delete(ctx, path.Dir(file))
	})
}

// walk visits the files below a path that may not exist. What it visits is listed first, since drivers do not say
// what happens to a walk whose files go.
func (g *collection) walk(ctx context.Context, root string, visit func(storagedriver.FileInfo) error) error {
	var files []storagedriver.FileInfo
	err := g.store.driver.Walk(ctx, root, func(info storagedriver.FileInfo) error {
		if !info.IsDir() {
			files = append(files, info)
		}
		return ctx.Err()
	})
	if err != nil && !isAbsent(cause(err)) {
		return storageFault("listing", root, err)
	}
	for _, info := range files {
		if err := visit(info); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (g *collection) delete(ctx context.Context, path string) error {
	if g.opts.DryRun {
		return nil
	}
	if err := g.store.driver.Delete(ctx, path); err != nil && !isAbsent(cause(err)) {
		return storageFault("removing", path, err)
	}
	return nil
}

func (g *collection) remove(ctx context.Context, addr address, size int64) error {
	if !g.opts.DryRun {
		if err := g.store.remove(ctx, addr); err != nil {
			return err
		}
	}
	g.report.Removed++
	g.report.RemovedBytes += size
	return nil
}

// young tells whether something may belong to work under way. With the directory to ourselves there is none but in
// the index, and only links and what is referenced need the grace.
func (g *collection) young(t time.Time) bool { return g.now.Sub(t) < g.store.opts.Grace }
