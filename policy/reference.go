package policy

import "strings"

// A Reference names one image, fully qualified. Tag and Digest may both be set: Tag is then how people named what
// Digest identifies (the tag an image was resolved from, or the tag of the index it is a child of).
type Reference struct {
	Upstream   string // the name clients use, e.g. docker.io or registry.corp:5443
	Repository string // path below the upstream, e.g. library/nginx
	Tag        string // e.g. 1.27; empty when named by digest only
	Index      string // digest of the index this image was reached through; empty when it was named itself
	Digest     string // e.g. sha256:…; empty before resolution
}

// Name returns upstream and repository, e.g. docker.io/library/nginx.
func (r Reference) Name() string { return r.Upstream + "/" + r.Repository }

// String returns the reference as people write it: name:tag, name@digest, or name:tag@digest.
func (r Reference) String() string {
	var b strings.Builder
	b.Grow(len(r.Upstream) + len(r.Repository) + len(r.Tag) + len(r.Digest) + 3)
	b.WriteString(r.Upstream)
	b.WriteByte('/')
	b.WriteString(r.Repository)
	if r.Tag != "" {
		b.WriteByte(':')
		b.WriteString(r.Tag)
	}
	if r.Digest != "" {
		b.WriteByte('@')
		b.WriteString(r.Digest)
	}
	return b.String()
}

// A Via is how a digest came to be named in a repository: by a tag, as a child of an index, or (the zero value) by
// its own digest. A pull by digest of what a tag led to is judged under that tag's name as well, since clients
// resolve a tag first and then ask by digest.
type Via struct {
	Tag   string `json:"tag,omitempty"`
	Index string `json:"index,omitempty"` // digest of the parent index
}
