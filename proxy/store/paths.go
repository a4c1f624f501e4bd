package store

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"
)

// The layout of distribution's registry, version 2: blobs and repositories can be read by its own tools.
const (
	layoutRoot       = "/docker/registry/v2"
	blobsRoot        = layoutRoot + "/blobs"
	repositoriesRoot = layoutRoot + "/repositories"
	// uploadsRoot holds what is not verified yet, outside of what distribution's tools walk.
	uploadsRoot = "/winnow/uploads"
)

const (
	// maxNameBytes bounds a repository name with its upstream: the OCI specification says 255 characters for both.
	maxNameBytes = 255
	// maxElementBytes is the longest file name that common filesystems take.
	maxElementBytes = 255
)

// An address is a validated digest; every path is derived from one.
type address struct {
	text      string // sha256:<hex>, as it was asked for
	algorithm string
	hex       string
}

// parseAddress accepts exactly the digests that an object can be stored under: lower-case hex of full length.
func parseAddress(digest string) (address, error) {
	algorithm, hex, _ := strings.Cut(digest, ":")
	size := 0
	switch algorithm {
	case "sha256":
		size = 2 * sha256.Size
	case "sha512":
		size = 2 * sha512.Size
	}
	if size == 0 || len(hex) != size {
		return address{}, badName("%.160q is no digest: want sha256: or sha512: and lower-case hex", digest)
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return address{}, badName("%.160q is no digest: want sha256: or sha512: and lower-case hex", digest)
		}
	}
	return address{text: digest, algorithm: algorithm, hex: hex}, nil
}

func (a address) String() string { return a.text }

// path is where the object lies on the driver.
func (a address) path() string {
	return blobsRoot + "/" + a.algorithm + "/" + a.hex[:2] + "/" + a.hex + "/data"
}

func (a address) hash() hash.Hash {
	if a.algorithm == "sha512" {
		return sha512.New()
	}
	return sha256.New()
}

// addressOfPath is the reverse of address.path; ok is false for any other path.
func addressOfPath(path string) (a address, ok bool) {
	rest, ok := strings.CutPrefix(path, blobsRoot+"/")
	if !ok {
		return address{}, false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[3] != "data" {
		return address{}, false
	}
	a, err := parseAddress(parts[0] + ":" + parts[2])
	return a, err == nil && parts[1] == a.hex[:2]
}

// linksPath is the folder of the links of one repository and digest algorithm.
func linksPath(name, algorithm string) (string, error) {
	if name == "" || len(name) > maxNameBytes {
		return "", badName("%.64q is no repository name: want 1 to %d characters", name, maxNameBytes)
	}
	var b strings.Builder
	b.WriteString(repositoriesRoot)
	for element := range strings.SplitSeq(name, "/") {
		escaped := escapeElement(element)
		if element == "" || element == "." || element == ".." || len(escaped) > maxElementBytes {
			return "", badName("%q is no repository name: %q cannot be a part of it", name, element)
		}
		b.WriteByte('/')
		b.WriteString(escaped)
	}
	b.WriteString("/_manifests/revisions/")
	b.WriteString(algorithm)
	return b.String(), nil
}

// escapeElement writes what drivers and case-folding filesystems do not tell apart or do not take as _xx, its hex:
// registry.corp:5443 becomes registry.corp_3a5443. The underscore is escaped as well, which makes it reversible and
// keeps every name away from distribution's own _manifests, _layers and _uploads.
func escapeElement(element string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(element) {
		switch c := element[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-':
			b.WriteByte(c)
		default:
			b.WriteByte('_')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// unescapeElement is the reverse of escapeElement; ok is false for what escapeElement never writes.
func unescapeElement(escaped string) (element string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '_' {
			if i+2 >= len(escaped) {
				return "", false
			}
			high, low := strings.IndexByte("0123456789abcdef", escaped[i+1]), strings.IndexByte("0123456789abcdef", escaped[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), escapeElement(b.String()) == escaped
}
