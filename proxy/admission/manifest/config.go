package manifest

import (
	"github.com/winnow-registry/winnow/policy"
)

// An ImageConfig is a parsed image configuration.
type ImageConfig struct {
	Config   policy.Config
	Platform policy.Platform
	image    policy.Image // Created and History
}

const (
	// maxHistory lines of build history; the longest seen have some hundreds.
	maxHistory = 5000
)

// ParseConfig reads an image configuration (application/vnd.oci.image.config.v1+json or Docker's).
func ParseConfig(raw []byte) (*ImageConfig, error) {
	if len(raw) > MaxConfigSize {
		return nil, &Error{Path: "config", Problem: "is larger than 8 MiB"}
	}
	root, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	obj, ok := root.(object)
	if !ok {
		return nil, &Error{Path: "config", Problem: "is not a JSON object"}
	}
	f := fields{obj: obj, err: &err}
	f.known("created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history")
	c := &ImageConfig{Platform: policy.Platform{
		OS: f.str("os"), Architecture: f.str("architecture"), Variant: f.str("variant"),
		OSVersion: f.str("os.version"), OSFeatures: f.strings("os.features"),
	}}
	c.image.Created = f.time("created")
	if start, ok := f.sub("config"); ok {
		c.Config = readConfig(start)
	}
	if rootfs, ok := f.sub("rootfs"); ok {
		rootfs.known("type", "diff_ids")
		c.Config.DiffIDs = rootfs.strings("diff_ids")
		for _, id := range c.Config.DiffIDs {
			if !ValidDigest(id) {
				rootfs.fail("diff_ids", "must hold sha256 digests")
			}
		}
	}
	for _, h := range f.list("history", maxHistory) {
		h.known("created", "created_by", "author", "comment", "empty_layer")
		c.image.History = append(c.image.History, policy.History{
			Created: h.time("created"), CreatedBy: h.str("created_by"), Comment: h.str("comment"),
			EmptyLayer: h.boolean("empty_layer"),
		})
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func readConfig(f fields) policy.Config {
	f.known("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
		"Healthcheck", "Shell", "OnBuild", "ArgsEscaped")
	c := policy.Config{
		User: f.str("User"), Env: f.strings("Env"), Entrypoint: f.strings("Entrypoint"), Cmd: f.strings("Cmd"),
		WorkingDir: f.str("WorkingDir"), ExposedPorts: f.keys("ExposedPorts"), Volumes: f.keys("Volumes"),
		Labels: f.stringMap("Labels"), StopSignal: f.str("StopSignal"), Shell: f.strings("Shell"),
		OnBuild: f.strings("OnBuild"),
	}
	if h, ok := f.sub("Healthcheck"); ok {
		h.known("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
		c.Healthcheck = &policy.Healthcheck{Test: h.strings("Test")}
	}
	return c
}

// Contents returns what the manifest alone says of the image that ref names.
func (m *Manifest) Contents(ref policy.Reference) policy.Contents {
	img := policy.Image{
		Reference: ref, MediaType: m.MediaType, ArtifactType: m.ArtifactType, Kind: m.Kind,
		Layers: m.Layers, Children: m.Children, Annotations: m.Annotations, Size: m.Config.Size,
	}
	for _, l := range m.Layers {
		img.Size += l.Size
	}
	return policy.Contents{Stage: policy.StageManifest, Image: img}
}

// AddConfig returns contents with what the image configuration says added. The configuration must describe as many
// layers as the manifest lists.
func (m *Manifest) AddConfig(contents policy.Contents, c *ImageConfig) (policy.Contents, error) {
	if len(c.Config.DiffIDs) != len(m.Layers) {
		return contents, &Error{Path: "rootfs.diff_ids", Problem: "does not list as many layers as the manifest"}
	}
	contents.Stage = policy.StageConfig
	contents.Image.Config = c.Config
	contents.Image.Platform = c.Platform
	contents.Image.Created = c.image.Created
	contents.Image.History = c.image.History
	return contents, nil
}
