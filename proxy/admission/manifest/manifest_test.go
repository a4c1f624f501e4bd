package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/winnow-registry/winnow/policy"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func image(layers ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":10},"layers":[%s]}`,
		OCIManifest, ociConfig, digestA, strings.Join(layers, ","))
}

func layer(extra string) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":20%s}`, digestB, extra)
}

func index(children ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, OCIIndex, strings.Join(children, ","))
}

func TestParseReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(image(layer(`,"urls":["https://x/"],"annotations":{"a":"b"}`))), OCIManifest+"; charset=utf-8")
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != policy.KindImage || m.Config.Digest != digestA || len(m.Layers) != 1 ||
		m.Layers[0].URLs[0] != "https://x/" || m.Layers[0].Annotations["a"] != "b" || m.Layers[0].Size != 20 {
		t.Errorf("read %+v", m)
	}
	child := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7,"platform":{"os":"linux","architecture":"arm","variant":"v7","os.version":"1"}}`, OCIManifest, digestB)
	m, err = Parse([]byte(index(child)), "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != policy.KindIndex || len(m.Children) != 1 || m.Children[0].Platform.String() != "linux/arm/v7" || m.Children[0].Platform.OSVersion != "1" {
		t.Errorf("read %+v", m)
	}
}

func TestParseTakesOCIDocumentsWithoutMediaType(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		strings.Replace(image(layer("")), fmt.Sprintf(`"mediaType":%q,`, OCIManifest), "", 1): OCIManifest,
		strings.Replace(index(), fmt.Sprintf(`"mediaType":%q,`, OCIIndex), "", 1):             OCIIndex,
	} {
		m, err := Parse([]byte(doc), "")
		if err != nil || m.MediaType != want {
			t.Errorf("%s: %v, %v", doc, m, err)
		}
	}
}

func TestParseRefusesAmbiguousDocuments(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 10001) + strings.Repeat("]", 10001)
	many := make([]string, 1_000_00)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":""`, i)
	}
	tests := map[string]struct{ doc, contentType, want string }{
		"HC-041 image and index at once":        {strings.Replace(image(), `"layers"`, `"manifests":[],"layers"`, 1), "", "either"},
		"HC-041 neither":                        {`{"schemaVersion":2}`, "", "either"},
		"HC-042 media type differs from header": {image(), DockerManifest, "Content-Type"},
		"HC-042 index called a manifest":        {strings.Replace(index(), OCIIndex, OCIManifest, 1), "", "type of such a document"},
		"HC-044 octet-stream":                   {image(), "application/octet-stream", "Content-Type"},
		"HC-044 other casing":                   {image(), strings.ToUpper(OCIManifest), "Content-Type"},
		"HC-045 key twice":                      {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2,"schemaVersion":2`, 1), "", "twice"},
		"HC-045 key twice, escaped":             {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2,"\u0073chemaVersion":2`, 1), "", "twice"},
		"HC-045 key twice, other case":          {strings.Replace(image(), `"layers":[`, `"Layers":[],"layers":[`, 1), "", "twice"},
		"HC-045 key twice, deep":                {image(layer(`,"annotations":{"a":"1","a":"2"}`)), "", "twice"},
		"HC-045 key twice, long s":              {image(layer(`,"\u017fize":3`)), "", "twice"},
		"known key in other case":               {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2,"Subject":{}`, 1), "", "must be written"},
		"HC-048 negative size":                  {strings.Replace(image(), `"size":10`, `"size":-1`, 1), "", "whole number"},
		"HC-048 exponent":                       {strings.Replace(image(), `"size":10`, `"size":1e3`, 1), "", "whole number"},
		"HC-048 float":                          {strings.Replace(image(), `"size":10`, `"size":10.0`, 1), "", "whole number"},
		"HC-048 string":                         {strings.Replace(image(), `"size":10`, `"size":"10"`, 1), "", "whole number"},
		"HC-048 2^63":                           {strings.Replace(image(), `"size":10`, `"size":9223372036854775808`, 1), "", "larger"},
		"HC-048 no size":                        {strings.Replace(image(), `,"size":10`, ``, 1), "", "whole number"},
		"HC-049 schema 1":                       {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":1`, 1), "", "must be 2"},
		"HC-049 schema string":                  {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":"2"`, 1), "", "must be 2"},
		"HC-049 schema 2.0":                     {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2.0`, 1), "", "must be 2"},
		"HC-049 no schema":                      {strings.Replace(image(), `"schemaVersion":2,`, ``, 1), "", "must be 2"},
		"HC-050 schema 1 signed":                {`{"schemaVersion":1,"name":"x","fsLayers":[],"signatures":[]}`, "", ""},
		"HC-051 larger than 4 MiB":              {image(layer(`,"annotations":{"a":"` + strings.Repeat("x", MaxSize) + `"}`)), "", "4 MiB"},
		"HC-052 nested":                         {`{"schemaVersion":2,"x":` + deep + `}`, "", "nested"},
		"HC-052 many values":                    {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2,"annotations":{`+strings.Join(many, ",")+`}`, 1), "", "more than"},
		"HC-052 long key":                       {strings.Replace(image(), `"schemaVersion":2`, `"schemaVersion":2,"`+strings.Repeat("k", 2000)+`":1`, 1), "", "longer"},
		"HC-056 data of another digest":         {image(layer(`,"data":"aGVsbG8="`)), "", "does not match"},
		"trailing data":                         {image() + `{}`, "", "after its end"},
		"not UTF-8":                             {strings.Replace(image(), "layers", "lay\xff", 1), "", "UTF-8"},
		"short digest":                          {strings.Replace(image(), digestA, "sha256:aa", 1), "", "64"},
		"upper-case digest":                     {strings.Replace(image(), digestA, strings.ToUpper(digestA), 1), "", "64"},
		"sha512":                                {strings.Replace(image(), digestA, "sha512:"+strings.Repeat("a", 128), 1), "", "64"},
		"layers null":                           {strings.Replace(image(), `"layers":[]`, `"layers":null`, 1), "", "array"},
		"annotation that is no string":          {image(layer(`,"annotations":{"a":1}`)), "", "strings"},
		"byte order mark":                       {"\ufeff" + image(), "", "JSON"},
		"array":                                 {`[]`, "", "object"},
		"empty":                                 {``, "", "JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse([]byte(test.doc), test.contentType)
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("got %+v, %v; want an *Error", m, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
}

func TestParseConfigRefusesWhatARuntimeCouldReadOtherwise(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"user in lower case":  `{"config":{"user":"0"},"rootfs":{"diff_ids":[]}}`,
		"user twice":          `{"config":{"User":"65532","User":"0"},"rootfs":{"diff_ids":[]}}`,
		"Config upper case":   `{"Config":{"User":"0"},"rootfs":{"diff_ids":[]}}`,
		"env that is a map":   `{"config":{"Env":{"A":"b"}},"rootfs":{"diff_ids":[]}}`,
		"diff id that is bad": `{"config":{},"rootfs":{"diff_ids":["sha256:x"]}}`,
		"not JSON":            `{`,
		"too large":           `{"author":"` + strings.Repeat("x", MaxConfigSize) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, err := ParseConfig([]byte(doc)); err == nil {
				t.Errorf("read %+v", c)
			}
		})
	}
}

func TestAddConfigWantsOneDiffIDPerLayer(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(image(layer(""))), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig([]byte(`{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","config":{"User":"65532","Env":["A=b"],"ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Healthcheck":{"Test":["NONE"]}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"RUN x","empty_layer":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	contents := m.Contents(policy.Reference{})
	if _, err := m.AddConfig(contents, c); err == nil {
		t.Error("a configuration of no layers was taken for an image of one (HC-060)")
	}
	c.Config.DiffIDs = []string{digestA}
	contents, err = m.AddConfig(contents, c)
	if err != nil {
		t.Fatal(err)
	}
	if i := contents.Image; i.Config.User != "65532" || i.Config.ExposedPorts[0] != "443/tcp" || i.Platform.String() != "linux/amd64" ||
		i.Created.Year() != 2024 || i.Size != 30 || !i.History[0].EmptyLayer || i.Config.Healthcheck.Test[0] != "NONE" {
		t.Errorf("read %+v", i)
	}
}

// FuzzManifestStrict checks that what is accepted means the same to encoding/json, which most clients use.
func FuzzManifestStrict(f *testing.F) {
	f.Add([]byte(image(layer(""))))
	f.Add([]byte(index(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, OCIManifest, digestB))))
	f.Add([]byte(strings.Replace(image(), `"layers":[`, `"Layers":[],"layers":[`, 1)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := Parse(doc, "")
		if err != nil {
			return
		}
		if m.Kind == policy.KindIndex {
			var other v1.IndexManifest
			if err := json.Unmarshal(doc, &other); err != nil {
				t.Fatalf("accepted what encoding/json refuses: %v", err)
			}
			if len(other.Manifests) != len(m.Children) {
				t.Fatalf("%d children here, %d there", len(m.Children), len(other.Manifests))
			}
			for i, c := range other.Manifests {
				if c.Digest.String() != m.Children[i].Digest || c.Size != m.Children[i].Size {
					t.Fatalf("child %d: %v here, %v there", i, m.Children[i], c)
				}
			}
			return
		}
		var other v1.Manifest
		if err := json.Unmarshal(doc, &other); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if other.Config.Digest.String() != m.Config.Digest || len(other.Layers) != len(m.Layers) {
			t.Fatalf("%+v here, %+v there", m, other)
		}
	})
}

// FuzzConfigJSON checks that any configuration is read or refused, never more.
func FuzzConfigJSON(f *testing.F) {
	f.Add([]byte(`{"config":{"User":"0","Env":["A=b"]},"rootfs":{"type":"layers","diff_ids":["` + digestA + `"]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := ParseConfig(doc)
		if err != nil {
			return
		}
		var other v1.ConfigFile
		if json.Unmarshal(doc, &other) == nil && other.Config.User != c.Config.User {
			t.Fatalf("user %q here, %q there", c.Config.User, other.Config.User)
		}
	})
}
