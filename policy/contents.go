package policy

import "time"

// Stage says how much of an image is known. Rules that need a later stage are not evaluated before it; a refusal
// that an earlier stage already decides is final and spares the fetch of the rest.
type Stage int

const (
	StageReference Stage = iota // the reference only: nothing was fetched but a digest
	StageManifest               // the manifest: media types, layers, sizes, annotations, platforms of an index
	StageConfig                 // the image configuration
	StageLayers                 // what the layers hold
)

// Contents is what an image holds, as far as Stage says it is known. Evaluation never changes it.
type Contents struct {
	Stage Stage
	Image Image
}

// Image is what reference, manifest and configuration say. It is the CEL variable `image`.
type Image struct {
	Reference    Reference
	MediaType    string // of the manifest
	ArtifactType string // of an artifact manifest, or the media type of its config when that is not an image's
	Kind         Kind
	Platform     Platform
	Created      time.Time // zero when the configuration does not say
	FirstSeen    time.Time // when Winnow first met this digest in this repository
	Size         int64     // config and layers as the manifest declares them, bytes
	Layers       []Layer
	Children     []Child // of an index
	Annotations  map[string]string
	Config       Config
	History      []History
}

// Kind is what a manifest describes.
type Kind string

const (
	KindImage    Kind = "image"
	KindIndex    Kind = "index"
	KindArtifact Kind = "artifact" // signatures, SBOMs, charts, …: no runnable image
)

// Platform as in the OCI image index specification.
type Platform struct {
	OS           string   `json:"os,omitempty"`
	Architecture string   `json:"architecture,omitempty"`
	Variant      string   `json:"variant,omitempty"`
	OSVersion    string   `json:"osVersion,omitempty"`
	OSFeatures   []string `json:"osFeatures,omitempty"`
}

// String returns os/architecture[/variant], or "" when unknown.
func (p Platform) String() string {
	if p.OS == "" && p.Architecture == "" {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Layer is one layer as the manifest declares it.
type Layer struct {
	MediaType   string
	Digest      string
	Size        int64
	URLs        []string
	Annotations map[string]string
}

// Child is one entry of an index.
type Child struct {
	MediaType    string
	ArtifactType string
	Digest       string
	Size         int64
	Platform     Platform
	Annotations  map[string]string
}

// Config is the part of the image configuration that a container starts with.
type Config struct {
	User         string
	Env          []string // KEY=value
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	ExposedPorts []string // 80/tcp, sorted
	Volumes      []string // sorted
	Labels       map[string]string
	Healthcheck  *Healthcheck // nil when the image has none
	StopSignal   string
	Shell        []string
	OnBuild      []string
	DiffIDs      []string
}

// Healthcheck as Docker writes it; Test is empty, ["NONE"], ["CMD", …] or ["CMD-SHELL", …].
type Healthcheck struct {
	Test []string
}

// History is one line of the build history.
type History struct {
	Created    time.Time
	CreatedBy  string
	Comment    string
	EmptyLayer bool
}
