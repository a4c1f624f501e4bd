package store

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// maxLinked bounds what Linked returns: more manifests than a repository that is in use has, and 1 MB of digests.
const maxLinked = 10_000

// Link notes durably that a manifest was admitted in a repository (upstream/repository, as references name it), in
// the form of distribution's revision links. Links are not evicted; GC removes those of manifests that are not held.
func (s *Store) Link(ctx context.Context, name, manifestDigest string) error {
	addr, err := parseAddress(manifestDigest)
	if err != nil {
		return err
	}
	dir, err := linksPath(name, addr.algorithm)
	if err != nil {
		return err
	}
	link := dir + "/" + addr.hex + "/link"
	if info, err := s.driver.Stat(ctx, link); err == nil && !info.IsDir() && info.Size() == int64(len(addr.text)) {
		return nil
	}
	if err := s.driver.PutContent(ctx, link, []byte(addr.text)); err != nil {
		return storageFault("linking "+manifestDigest+" in", name, err)
	}
	return nil
}

// Linked returns the manifests that were admitted in a repository, in no order, at most 10,000 of them.
func (s *Store) Linked(ctx context.Context, name string) ([]string, error) {
	var digests []string
	for _, algorithm := range []string{"sha256", "sha512"} {
		dir, err := linksPath(name, algorithm)
		if err != nil {
			return nil, err
		}
		entries, err := s.driver.List(ctx, dir)
		if err != nil {
			if isAbsent(cause(err)) {
				continue
			}
			return nil, storageFault("listing the manifests of", name, err)
		}
		for _, entry := range entries {
			if len(digests) == maxLinked {
				return digests, nil
			}
			addr, err := parseAddress(algorithm + ":" + path.Base(entry))
			if err != nil {
				continue // not ours
			}
			// A folder alone is what a crash between making it and writing the link leaves.
			if s.disk != nil && !s.linkExists(ctx, entry+"/link") {
				continue
			}
			digests = append(digests, addr.text)
		}
	}
	return digests, nil
}

func (s *Store) linkExists(ctx context.Context, link string) bool {
	info, err := s.driver.Stat(ctx, link)
	return err == nil && !info.IsDir() && info.Size() > 0
}

// A link names a manifest in a repository.
type link struct {
	name string
	addr address
	path string
}

// linkOfPath is the reverse of what Link writes; ok is false for any other path.
func linkOfPath(file string) (l link, ok bool) {
	rest, ok := strings.CutPrefix(file, repositoriesRoot+"/")
	if !ok {
		return link{}, false
	}
	escaped, revision, ok := strings.Cut(rest, "/_manifests/revisions/")
	if !ok {
		return link{}, false
	}
	parts := strings.Split(revision, "/")
	if len(parts) != 3 || parts[2] != "link" {
		return link{}, false
	}
	addr, err := parseAddress(parts[0] + ":" + parts[1])
	if err != nil {
		return link{}, false
	}
	elements := strings.Split(escaped, "/")
	for i := range elements {
		if elements[i], ok = unescapeElement(elements[i]); !ok {
			return link{}, false
		}
	}
	return link{name: strings.Join(elements, "/"), addr: addr, path: file}, true
}

// String names the link as people write it.
func (l link) String() string { return fmt.Sprintf("%s@%s", l.name, l.addr) }
