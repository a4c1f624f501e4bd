package imagefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission/manifest"
)

const (
	// annotationName holds a whole reference; containerd, nerdctl and docker save write it.
	annotationName = "io.containerd.image.name"
	// annotationRef holds a tag, or with some tools a whole reference.
	// Source: OCI image-spec 1.1, image-layout.md.
	annotationRef = "org.opencontainers.image.ref.name"
	// maxMarker bounds the file oci-layout, which has 30 bytes.
	maxMarker = 4096
)

// readLayout reads an OCI image layout (OCI image-spec 1.1, image-layout.md).
func (a *Archive) readLayout(context.Context) error {
	raw, err := readFile(a.files, "oci-layout", maxMarker)
	if err != nil {
		return err
	}
	var marker struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &marker); err != nil || !strings.HasPrefix(marker.Version, "1.") {
		return fmt.Errorf("oci-layout: imageLayoutVersion %q is not 1.x", marker.Version)
	}
	if raw, err = readFile(a.files, "index.json", manifest.MaxSize); err != nil {
		return err
	}
	index, err := manifest.Parse(raw, "")
	if err != nil {
		return fmt.Errorf("index.json: %w", notRefused{err})
	}
	if index.Kind != policy.KindIndex {
		return errors.New("index.json: is not an index")
	}
	at := map[string]int{} // by digest
	for _, child := range index.Children {
		if !manifest.IsManifest(child.MediaType) {
			return fmt.Errorf("index.json: %s is a %s, which is not served", child.Digest, child.MediaType)
		}
		i, known := at[child.Digest]
		if !known {
			i = len(a.images)
			at[child.Digest] = i
			a.images = append(a.images, Image{Digest: child.Digest, Platform: child.Platform})
		}
		a.images[i].named(child.Annotations)
	}
	return nil
}

// named adds the names that the annotations of a descriptor give. An image is listed once for each of its tags.
func (m *Image) named(annotations map[string]string) {
	name := annotations[annotationName]
	if name == "" {
		if ref := annotations[annotationRef]; strings.ContainsAny(ref, "/:") {
			name = ref
		} else if m.Tag == "" {
			m.Tag = ref
		}
	}
	if name != "" {
		m.Names = append(m.Names, name)
	}
}

// notRefused hides that an error is one about a manifest: the index.json of a layout is never served, so that a fault
// in it is no refusal of an image.
type notRefused struct{ err error }

func (e notRefused) Error() string { return e.err.Error() }
