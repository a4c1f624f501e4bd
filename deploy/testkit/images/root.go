package images

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// Suite is the Debian release of the root.
const Suite = "bookworm"

// rootKept names the kept root; the number goes up when it is made in another way.
const rootKept = "debian-" + Suite + "-minbase-1.tar.gz"

// dropped is what a Debian base image leaves out: caches and documentation.
var dropped = []string{"var/cache/apt/", "var/lib/apt/lists/", "usr/share/doc/", "usr/share/man/", "usr/share/locale/", "var/log/", "dev/"}

// Root returns the path of the Debian root as a gzipped layer. It needs debootstrap, root and Debian's mirror the
// first time.
func Root(t testing.TB) string {
	t.Helper()
	return testkit.Kept(t, rootKept, func(path string) error {
		if os.Geteuid() != 0 {
			return fmt.Errorf("debootstrap needs root")
		}
		program, err := testkit.LookPath("debootstrap")
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp(filepath.Dir(path), "root-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		cmd := exec.CommandContext(t.Context(), program, "--variant=minbase", Suite, dir)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		if out, err := testkit.Output(cmd); err != nil {
			return fmt.Errorf("debootstrap: %w: %s", err, lastLine(out))
		}
		return pack(dir, path)
	})
}

// rootLayer returns the Debian root as a layer with the given media type.
func rootLayer(t testing.TB, media types.MediaType) v1.Layer {
	t.Helper()
	layer, err := tarball.LayerFromFile(Root(t), tarball.WithMediaType(media))
	if err != nil {
		t.Fatalf("reading the Debian root: %v", err)
	}
	return layer
}

// pack writes the tree at dir as a gzipped tar, in the order of names, with owners, links and permissions.
func pack(dir, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	zip := gzip.NewWriter(out)
	w := tar.NewWriter(zip)
	links := map[uint64]string{} // inode -> first name
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil || name == "." || leftOut(name) {
			return err
		}
		return packOne(w, file, name, entry, links)
	})
	if err != nil {
		return fmt.Errorf("packing the Debian root: %w", err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return out.Close()
}

func leftOut(name string) bool {
	for _, d := range dropped {
		if strings.HasPrefix(name, d) { // the folder itself stays
			return true
		}
	}
	return false
}

func packOne(w *tar.Writer, file, name string, entry fs.DirEntry, links map[uint64]string) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(file); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.Uname, header.Gname = "", ""
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	header.ModTime = header.ModTime.Truncate(time.Second)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && stat.Nlink > 1 {
		if first, seen := links[stat.Ino]; seen {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return w.WriteHeader(header)
		}
		links[stat.Ino] = name
	}
	if err := w.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
