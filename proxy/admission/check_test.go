package admission_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/proxy/admission"
)

// documents is a source that holds what was put into it, by digest.
type documents map[string][]byte

func (d documents) get(digest string) ([]byte, error) {
	raw, ok := d[digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return raw, nil
}

func (d documents) Manifest(_ context.Context, ref policy.Reference) ([]byte, string, error) {
	raw, err := d.get(ref.Digest)
	return raw, "", err
}

func (d documents) Config(_ context.Context, _ policy.Reference, l policy.Layer) ([]byte, error) {
	return d.get(l.Digest)
}

// put adds the manifest of what, and its configuration if it is an image.
func (d documents) put(t *testing.T, what partial.WithRawManifest) (digest string) {
	t.Helper()
	raw, err := what.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := partial.Digest(what)
	if err != nil {
		t.Fatal(err)
	}
	d[hash.String()] = raw
	if image, ok := what.(v1.Image); ok {
		config, err := image.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		d[configOf(t, image)] = config
	}
	return hash.String()
}

func configOf(t *testing.T, image v1.Image) string {
	t.Helper()
	hash, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

const twoRules = `apiVersion: winnow/v1
kind: Policy
metadata: {name: two}
spec:
  images: {include: ["**"]}
  rules:
    - {id: few-layers, use: image.max-layers, with: {max: 1}, action: deny}
    - {id: no-root, use: config.non-root, action: deny}
`

func judge(t *testing.T, from admission.Source, digest string, platforms ...string) ([]admission.Checked, error) {
	t.Helper()
	set, err := policy.Load([]policy.File{{Name: "two.yaml", Data: []byte(twoRules)}}, rules.All())
	if err != nil {
		t.Fatal(err)
	}
	ref := policy.Reference{Upstream: "docker.io", Repository: "library/app", Tag: "1", Digest: digest}
	return admission.Check(t.Context(), from, ref, admission.CheckOptions{
		Set: set, Platforms: platforms, Now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) },
	})
}

func TestCheckGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	d := documents{}
	got, err := judge(t, d, d.put(t, images.New(t, images.Spec{Data: []int{10, 20}})))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"few-layers", "no-root"}; !slices.Equal(got[0].Verdict.Rules(), want) {
		t.Errorf("rules %v, want %v", got[0].Verdict.Rules(), want)
	}
	if v := got[0].Verdict; v.Decision != policy.Deny || v.Partial || got[0].Platform.String() != "linux/amd64" {
		t.Errorf("%+v", got[0])
	}
}

func TestCheckOfARefusedImageSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	d := documents{}
	refused, other := images.New(t, images.Spec{Data: []int{10, 20}}), images.New(t, images.Spec{})
	digest, otherDigest := d.put(t, refused), d.put(t, other)
	delete(d, configOf(t, refused))
	delete(d, configOf(t, other))
	got, err := judge(t, d, digest)
	if err != nil || got[0].Verdict.Decision != policy.Deny || !errors.Is(got[0].Missed, fs.ErrNotExist) || !got[0].Verdict.Partial {
		t.Errorf("refused by its manifest: %+v, %v", got, err)
	}
	if got, err := judge(t, d, otherDigest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not refused by its manifest: %+v, %v; want no decision", got, err)
	}
}

func TestCheckBelievesNoSource(t *testing.T) {
	t.Parallel()
	d := documents{}
	image := images.New(t, images.Spec{User: images.NonRoot})
	digest, config := d.put(t, image), configOf(t, image)
	for name, changed := range map[string]string{"manifest": digest, "configuration": config} {
		lies := documents{}
		for k, v := range d {
			lies[k] = v
		}
		lies[changed] = slices.Concat(d[changed][:len(d[changed])-1], []byte(" "))
		if got, err := judge(t, lies, digest); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "hashes to something else") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestCheckRefusesWhatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	d := documents{}
	image := images.New(t, images.Spec{User: images.NonRoot})
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	twice := rawManifest{[]byte(strings.Replace(string(raw), `"schemaVersion"`, `"layers":[],"schemaVersion"`, 1))}
	got, err := judge(t, d, d.put(t, twice))
	if err != nil || got[0].Verdict.Decision != policy.Deny || !slices.Contains(got[0].Verdict.Rules(), "invalid-content") {
		t.Errorf("%+v, %v", got, err)
	}
}

// rawManifest is a manifest as it is.
type rawManifest struct{ raw []byte }

func (r rawManifest) RawManifest() ([]byte, error) { return r.raw, nil }

func TestCheckOfAnIndexJudgesItsImages(t *testing.T) {
	t.Parallel()
	d := documents{}
	good := images.New(t, images.Spec{User: images.NonRoot, Data: []int{10}})
	root := images.New(t, images.Spec{Arch: "arm64"})
	d.put(t, good)
	d.put(t, root)
	digest := d.put(t, images.Index(t, false, good, root))
	for _, tt := range []struct {
		name      string
		platforms []string
		want      []policy.Decision
	}{
		{"all", nil, []policy.Decision{policy.Admit, policy.Admit, policy.Deny}},
		{"one", []string{"linux/amd64"}, []policy.Decision{policy.Admit, policy.Admit}},
		{"the other", []string{"linux/arm64"}, []policy.Decision{policy.Admit, policy.Deny}},
	} {
		got, err := judge(t, d, digest, tt.platforms...)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var decisions []policy.Decision
		for i, c := range got {
			decisions = append(decisions, c.Verdict.Decision)
			if i > 0 && (c.Reference.Index != digest || c.Reference.Tag != "1") {
				t.Errorf("%s: a child is judged as %+v", tt.name, c.Reference)
			}
		}
		if !slices.Equal(decisions, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, decisions, tt.want)
		}
		if worst := admission.Worst(got); worst != tt.want[len(tt.want)-1] {
			t.Errorf("%s: the worst is %s", tt.name, worst)
		}
	}
	if _, err := judge(t, d, digest, "linux/s390x"); err == nil || !strings.Contains(err.Error(), "only for linux/amd64, linux/arm64") {
		t.Errorf("another platform: %v", err)
	}
}

// TestCheckOfAChildThatIsNotWhatItsIndexSays: an index must not lead a client to another architecture's image.
func TestCheckOfAChildThatIsNotWhatItsIndexSays(t *testing.T) {
	t.Parallel()
	d := documents{}
	image := images.New(t, images.Spec{User: images.NonRoot, Data: []int{10}})
	d.put(t, image)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}},
	})
	got, err := judge(t, d, d.put(t, index))
	if err != nil || admission.Worst(got) != policy.Deny || !slices.Contains(got[1].Verdict.Rules(), "invalid-content") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCheckOfIndexesInsideOfIndexesEnds(t *testing.T) {
	t.Parallel()
	d := documents{}
	index := images.Index(t, false, images.New(t, images.Spec{User: images.NonRoot, Data: []int{10}}))
	digest := d.put(t, index)
	for range 6 {
		index = mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: index})
		digest = d.put(t, index)
	}
	if _, err := judge(t, d, digest); err == nil || !strings.Contains(err.Error(), "nests deeper than") {
		t.Errorf("%v", err)
	}
}

func TestWorstOfNothingIsDeny(t *testing.T) {
	t.Parallel()
	if got := admission.Worst(nil); got != policy.Deny {
		t.Error(got)
	}
}
