package imagefile

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/winnow-registry/winnow/policy"
)

func tarOf(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.PAXRecords["content"]
		h.PAXRecords, h.Mode = nil, 0o600
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func file(name, content string) tar.Header {
	return tar.Header{Name: name, PAXRecords: map[string]string{"content": content}}
}

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}

func TestHostileTarFilesAreErrors(t *testing.T) {
	t.Parallel()
	list := `[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]`
	for _, tt := range []struct {
		name, path, want string
	}{
		{"the same name in two spellings", tarOf(t, file("manifest.json", "[]"), file("./manifest.json", list)), "is in it twice"},
		{"a link in a circle", tarOf(t, file("manifest.json", list), link("c.json", "d.json"), link("d.json", "c.json")), "more than 4 links"},
		{"a link out of the file", tarOf(t, file("manifest.json", list), link("c.json", "/etc/passwd")), "file does not exist"},
		{"a link upwards", tarOf(t, file("manifest.json", list), link("c.json", "../../etc/passwd")), "link out of the file"},
		{"a device", tarOf(t, file("manifest.json", list), tar.Header{Name: "c.json", Typeflag: tar.TypeChar}), "no regular file"},
		{"a configuration that is absent", tarOf(t, file("manifest.json", list)), "file does not exist"},
		{"a configuration with a key twice", tarOf(t, file("manifest.json", list), file("c.json", `{"os":"linux","os":"windows"}`)), "c.json: "},
		{"no image", tarOf(t, file("manifest.json", `[]`)), "it holds no image"},
		{"a list that is no list", tarOf(t, file("manifest.json", `{}`)), "manifest.json"},
		{"a layout of another version", tarOf(t, file("oci-layout", `{"imageLayoutVersion":"2.0.0"}`)), "is not 1.x"},
		{"a layout without index", tarOf(t, file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)), "index.json"},
		{"an index that is an image as well", tarOf(t, file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), file("index.json", `{"schemaVersion":2,"manifests":[],"layers":[]}`)), "index.json"},
		{"nothing", tarOf(t), "neither an OCI layout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := Open(t.Context(), tt.path)
			if err == nil {
				a.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestPipeInALayoutDoesNotHang: reading it would wait for a writer for ever.
func TestPipeInALayoutDoesNotHang(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "oci-layout"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Error(err)
	}
}

func TestFilesAreBounded(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0", 64)
	path := tarOf(t,
		file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
		file("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+digest+`","size":2}]}`),
		file("blobs/sha256/"+strings.Repeat("0", 64), strings.Repeat(" ", 4<<20+1)),
	)
	a, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, _, err := a.Manifest(t.Context(), policy.Reference{Digest: digest}); err == nil || !strings.Contains(err.Error(), "more than the 4194304 allowed") {
		t.Error(err)
	}
	if _, _, err := a.Manifest(t.Context(), policy.Reference{Digest: "sha256:../../index.json"}); err == nil || !strings.Contains(err.Error(), "is no digest") {
		t.Error(err)
	}
}

func FuzzOpenTar(f *testing.F) {
	for _, path := range []string{tarOf(f, file("manifest.json", `[]`)), tarOf(f, file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), file("index.json", `{"schemaVersion":2,"manifests":[]}`))} {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := Open(t.Context(), path)
		if err != nil {
			return
		}
		defer a.Close()
		if len(a.Images()) == 0 {
			t.Error("an archive without images was opened")
		}
		for _, i := range a.Images() {
			if _, _, err := a.Manifest(t.Context(), policy.Reference{Digest: i.Digest}); err != nil && errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		}
	})
}
