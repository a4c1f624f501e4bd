package manifest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"mime"
	"regexp"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

// Media types of the manifests that are served.
// Source: OCI image-spec 1.1 media-types.md; Docker Image Manifest V2, Schema 2.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"

	ociConfig    = "application/vnd.oci.image.config.v1+json"
	dockerConfig = "application/vnd.docker.container.image.v1+json"

	// What the types of layers that clients unpack begin with.
	ociLayer    = "application/vnd.oci.image.layer."
	dockerLayer = "application/vnd.docker.image.rootfs."

	// emptyConfig is the digest of {}, the configuration of an artifact that has none (image-spec 1.1 manifest.md). No
	// client can run it: it lists no layer.
	emptyConfig = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
)

const (
	// MaxSize of a manifest, bytes: the limit that distribution-spec asks registries to accept at least.
	MaxSize = 4 << 20
	// MaxConfigSize of an image configuration, bytes. Docker's own are below 100 KiB.
	MaxConfigSize = 8 << 20
	// MaxObjectSize of what a descriptor may announce: 1 TiB, far above any layer and far below overflow.
	MaxObjectSize = 1 << 40
	// maxLayers: overlayfs mounts at most 500 lower directories, Docker writes at most 127 layers.
	maxLayers = 500
	// maxChildren of an index. The widest public ones have some dozens.
	maxChildren = 1000
)

// A Manifest is a parsed manifest or index.
type Manifest struct {
	MediaType    string
	Kind         policy.Kind
	ArtifactType string
	Config       policy.Layer // of an image or artifact; zero for an index
	Layers       []policy.Layer
	Children     []policy.Child // of an index
	Annotations  map[string]string
	Subject      string // digest of what this refers to, or ""
}

// IsManifest reports whether mediaType is one of the manifest and index types that are served.
func IsManifest(mediaType string) bool {
	switch mediaType {
	case OCIManifest, OCIIndex, DockerManifest, DockerList:
		return true
	}
	return false
}

// Parse reads a manifest or index. contentType is what the upstream's answer said, or "" when the bytes come from the
// store, where the document alone must say what it is.
func Parse(raw []byte, contentType string) (*Manifest, error) {
	if len(raw) > MaxSize {
		return nil, &Error{Problem: "is larger than 4 MiB"}
	}
	root, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	obj, ok := root.(object)
	if !ok {
		return nil, &Error{Problem: "is not a JSON object"}
	}
	f := fields{obj: obj, err: &err}
	mediaType, err := documentType(f, contentType)
	if err != nil {
		return nil, err
	}
	m := &Manifest{MediaType: mediaType, Annotations: f.stringMap("annotations")}
	if s, ok := f.sub("subject"); ok {
		m.Subject = readDescriptor(s).Digest
	}
	if mediaType == OCIIndex || mediaType == DockerList {
		m.readIndex(f)
	} else {
		m.readImage(f)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// documentType decides what a document is from all that speaks of it: its shape, its mediaType and the Content-Type.
// They must agree (CVE-2021-41190).
func documentType(f fields, contentType string) (string, error) {
	f.known("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
		"fsLayers", "signatures", "blobs")
	if n, ok := f.obj["schemaVersion"].(json.Number); !ok || n.String() != "2" {
		f.fail("schemaVersion", "must be 2")
	}
	for _, key := range []string{"fsLayers", "signatures", "blobs"} {
		if f.has(key) {
			f.fail(key, "belongs to another kind of manifest")
		}
	}
	index, image := f.has("manifests"), f.has("layers") || f.has("config")
	if index == image {
		f.fail("", "must be either an image manifest or an index")
	}
	declared := f.str("mediaType")
	if f.has("mediaType") && declared == "" {
		f.fail("mediaType", "must not be empty")
	}
	if *f.err != nil {
		return "", *f.err
	}
	fits := func(t string) bool {
		if index {
			return t == OCIIndex || t == DockerList
		}
		return t == OCIManifest || t == DockerManifest
	}
	mediaType := declared
	if mediaType == "" { // OCI 1.0 documents need not say it
		mediaType = OCIManifest
		if index {
			mediaType = OCIIndex
		}
	}
	if !fits(mediaType) {
		return "", &Error{Path: "mediaType", Problem: "is not the type of such a document"}
	}
	if contentType != "" {
		if t := trimParameters(contentType); t != mediaType {
			return "", &Error{Path: "mediaType", Problem: "differs from the Content-Type of the answer"}
		}
	}
	return mediaType, nil
}

func trimParameters(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		return ""
	}
	return strings.TrimSpace(t)
}

func (m *Manifest) readImage(f fields) {
	config, ok := f.sub("config")
	if !ok {
		f.fail("config", "is missing")
		return
	}
	if _, ok := f.obj["layers"].(array); !ok {
		f.fail("layers", "must be an array")
		return
	}
	m.Config = readDescriptor(config)
	for _, l := range f.list("layers", maxLayers) {
		m.Layers = append(m.Layers, readDescriptor(l))
	}
	m.Kind = policy.KindImage
	if m.Config.MediaType != ociConfig && m.Config.MediaType != dockerConfig && !m.runnable() {
		m.Kind = policy.KindArtifact
	}
	m.ArtifactType = f.str("artifactType")
	if m.ArtifactType == "" && m.Kind == policy.KindArtifact {
		m.ArtifactType = m.Config.MediaType
	}
}

// runnable reports whether a client could run what calls its configuration by another name. Some look at the layers, or
// at the type of the manifest only: to them it is an image, and rules about images must see it as one.
func (m *Manifest) runnable() bool {
	if m.Config.Digest == emptyConfig {
		return false
	}
	return m.MediaType == DockerManifest || slices.ContainsFunc(m.Layers, func(l policy.Layer) bool {
		return strings.HasPrefix(l.MediaType, ociLayer) || strings.HasPrefix(l.MediaType, dockerLayer)
	})
}

func (m *Manifest) readIndex(f fields) {
	m.Kind = policy.KindIndex
	m.ArtifactType = f.str("artifactType")
	if _, ok := f.obj["manifests"].(array); !ok {
		f.fail("manifests", "must be an array")
		return
	}
	for _, c := range f.list("manifests", maxChildren) {
		d := readDescriptor(c)
		child := policy.Child{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: d.Annotations,
			ArtifactType: c.str("artifactType"),
		}
		if p, ok := c.sub("platform"); ok {
			p.known("architecture", "os", "os.version", "os.features", "variant", "features")
			child.Platform = policy.Platform{
				OS: p.str("os"), Architecture: p.str("architecture"), Variant: p.str("variant"),
				OSVersion: p.str("os.version"), OSFeatures: p.strings("os.features"),
			}
		}
		m.Children = append(m.Children, child)
	}
}

// Source: OCI image-spec 1.1 descriptor.md; only sha256 is served.
var (
	digestForm    = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	mediaTypeForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
)

// ValidDigest reports whether s is a digest in the one algorithm that is served.
func ValidDigest(s string) bool { return digestForm.MatchString(s) }

func readDescriptor(f fields) policy.Layer {
	f.known("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
	d := policy.Layer{
		MediaType: f.str("mediaType"), Digest: f.str("digest"), Size: f.size("size"),
		URLs: f.strings("urls"), Annotations: f.stringMap("annotations"),
	}
	if !digestForm.MatchString(d.Digest) {
		f.fail("digest", "must be sha256: and 64 lower-case hex digits")
	}
	if !mediaTypeForm.MatchString(d.MediaType) {
		f.fail("mediaType", "must be a media type (RFC 6838)")
	}
	if f.has("data") {
		data, err := base64.StdEncoding.DecodeString(f.str("data"))
		sum := sha256.Sum256(data)
		if err != nil || int64(len(data)) != d.Size || "sha256:"+hex.EncodeToString(sum[:]) != d.Digest {
			f.fail("data", "does not match size and digest")
		}
	}
	return d
}
