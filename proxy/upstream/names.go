package upstream

import (
	"regexp"

	// The hashes that a digest may name. go-digest knows a hash only where it is linked in.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
)

// Lengths and forms of the distribution spec. Requests are parsed before they come here; these checks keep a name
// that was not from becoming part of a path.
var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

const maxRepository = 255

func isRepository(s string) bool { return len(s) <= maxRepository && repositoryForm.MatchString(s) }

func isTag(s string) bool { return tagForm.MatchString(s) }

// parseDigest returns s as a digest of an algorithm that is known here.
func parseDigest(s string) (digest.Digest, bool) {
	d := digest.Digest(s)
	return d, d.Validate() == nil
}
