package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The media types that facts mean when they name none.
const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// facts are image contents as people write them in a test of their policies.
type facts struct {
	Reference    string            `yaml:"reference"`
	Index        string            `yaml:"index"` // digest of the index it is reached through
	Kind         Kind              `yaml:"kind"`
	MediaType    string            `yaml:"mediaType"`
	ArtifactType string            `yaml:"artifactType"`
	Platform     string            `yaml:"platform"`
	Created      time.Time         `yaml:"created"`
	FirstSeen    time.Time         `yaml:"firstSeen"`
	Size         int64             `yaml:"size"`
	Layers       []factsLayer      `yaml:"layers"`
	Children     []factsChild      `yaml:"children"`
	Annotations  map[string]string `yaml:"annotations"`
	Config       factsConfig       `yaml:"config"`
	History      []factsHistory    `yaml:"history"`
}

type factsLayer struct {
	MediaType   string            `yaml:"mediaType"`
	Digest      string            `yaml:"digest"`
	Size        int64             `yaml:"size"`
	URLs        []string          `yaml:"urls"`
	Annotations map[string]string `yaml:"annotations"`
}

type factsChild struct {
	MediaType    string            `yaml:"mediaType"`
	ArtifactType string            `yaml:"artifactType"`
	Digest       string            `yaml:"digest"`
	Size         int64             `yaml:"size"`
	Platform     string            `yaml:"platform"`
	Annotations  map[string]string `yaml:"annotations"`
}

type factsConfig struct {
	User        string            `yaml:"user"`
	Env         []string          `yaml:"env"`
	Entrypoint  []string          `yaml:"entrypoint"`
	Cmd         []string          `yaml:"cmd"`
	WorkingDir  string            `yaml:"workingDir"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Labels      map[string]string `yaml:"labels"`
	Healthcheck *factsHealthcheck `yaml:"healthcheck"`
	StopSignal  string            `yaml:"stopSignal"`
	OnBuild     []string          `yaml:"onBuild"`
}

type factsHealthcheck struct {
	Test []string `yaml:"test"`
}

type factsHistory struct {
	CreatedBy  string `yaml:"createdBy"`
	Comment    string `yaml:"comment"`
	EmptyLayer bool   `yaml:"emptyLayer"`
}

// contents makes what Evaluate takes. A size that is not given is the sum of the layers'.
func (f *facts) contents() (Contents, error) {
	ref, err := parseReference(f.Reference)
	if err != nil {
		return Contents{}, err
	}
	ref.Index = f.Index
	kind := f.Kind
	if kind == "" {
		kind = KindImage
	}
	if !slices.Contains([]Kind{KindImage, KindIndex, KindArtifact}, kind) {
		return Contents{}, fmt.Errorf("kind is %q; want image, index or artifact", kind)
	}
	image := Image{
		Reference: ref, Kind: kind, MediaType: f.MediaType, ArtifactType: f.ArtifactType, Platform: parsePlatform(f.Platform),
		Created: f.Created, FirstSeen: f.FirstSeen, Size: f.Size, Annotations: f.Annotations, Config: f.Config.config(),
	}
	if image.MediaType == "" {
		image.MediaType = ociManifest
		if kind == KindIndex {
			image.MediaType = ociIndex
		}
	}
	for _, l := range f.Layers {
		if l.MediaType == "" {
			l.MediaType = ociLayer
		}
		if f.Size == 0 {
			image.Size += l.Size
		}
		image.Layers = append(image.Layers, Layer(l))
	}
	for _, c := range f.Children {
		if c.MediaType == "" {
			c.MediaType = ociManifest
		}
		image.Children = append(image.Children, Child{MediaType: c.MediaType, ArtifactType: c.ArtifactType, Digest: c.Digest,
			Size: c.Size, Platform: parsePlatform(c.Platform), Annotations: c.Annotations})
	}
	for _, h := range f.History {
		image.History = append(image.History, History{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer})
	}
	return Contents{Stage: StageConfig, Image: image}, nil
}

func (c *factsConfig) config() Config {
	out := Config{
		User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, ExposedPorts: c.Ports,
		Volumes: c.Volumes, Labels: c.Labels, StopSignal: c.StopSignal, OnBuild: c.OnBuild,
	}
	if c.Healthcheck != nil {
		out.Healthcheck = &Healthcheck{Test: c.Healthcheck.Test}
	}
	return out
}

func parsePlatform(s string) Platform {
	var p Platform
	p.OS, s, _ = strings.Cut(s, "/")
	p.Architecture, p.Variant, _ = strings.Cut(s, "/")
	return p
}

// parseReference reads upstream/repository[:tag][@digest].
func parseReference(s string) (Reference, error) {
	name, digest, _ := strings.Cut(s, "@")
	upstream, repository, ok := strings.Cut(name, "/")
	ref := Reference{Upstream: upstream, Digest: digest}
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, ref.Tag = repository[:i], repository[i+1:]
	}
	if !ok || repository == "" || !strings.ContainsAny(upstream, ".:") && upstream != "localhost" {
		return Reference{}, fmt.Errorf("reference %q is not of the form docker.io/library/nginx:1.27", s)
	}
	if upstream == dockerHub && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	ref.Repository = repository
	return ref, nil
}
