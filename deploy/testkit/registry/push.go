package registry

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push writes an image, an index or a bare manifest to the registry as repository:tag (or repository@digest) and
// returns its digest. The requests that this takes are forgotten.
func (r *Registry) Push(t testing.TB, ref string, what partial.Describable) string {
	t.Helper()
	defer r.Forget()
	to, err := name.ParseReference(r.Addr+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	options := append(r.Remote(), remote.WithContext(t.Context()))
	switch x := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(to, x, options...)
	case v1.Image:
		err = remote.Write(to, x, options...)
	case remote.Taggable:
		err = remote.Put(to, x, options...)
	default:
		t.Fatalf("pushing %s: %T is neither image, index nor manifest", ref, what)
	}
	if err != nil {
		t.Fatalf("pushing %s: %v", ref, err)
	}
	digest, err := what.Digest()
	if err != nil {
		t.Fatalf("hashing %s: %v", ref, err)
	}
	return digest.String()
}

// Remote returns the options with which go-containerregistry may write here.
func (r *Registry) Remote() []remote.Option {
	transport := http.DefaultTransport
	if r.CA != nil {
		transport = r.Client().Transport
	}
	out := []remote.Option{remote.WithTransport(transport), remote.WithJobs(4)}
	if r.open {
		return out
	}
	return append(out, remote.WithAuth(&authn.Basic{Username: User, Password: Password}))
}
