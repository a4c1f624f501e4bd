package cache

import (
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

// kind is one kind of thing that is remembered.
type kind uint8

const (
	kindVerdict kind = iota
	kindResolution
	kindSeen
	kindGrant
	kindExplanation
	kinds // how many
)

// String is the label of metrics.
func (k kind) String() string {
	return [kinds]string{"verdict", "resolution", "seen", "grant", "explanation"}[k]
}

// repositoryDigest names a digest in a repository.
type repositoryDigest struct{ repository, digest string }

func verdictKey(k policy.VerdictKey) string {
	return prefix + "verdict:" + k.Digest + ":" + k.Scope + ":" + k.Revision
}
func explanationKey(id string) string     { return prefix + "why:" + id }
func resolutionKey(name string) string    { return prefix + "tag:" + name }
func seenKey(k repositoryDigest) string   { return seenPrefix + k.repository + "@" + k.digest }
func grantsKey(k repositoryDigest) string { return prefix + "grant:" + k.repository + "@" + k.digest }

const seenPrefix = prefix + "seen:"

func isSeen(key string) bool { return strings.HasPrefix(key, seenPrefix) }
