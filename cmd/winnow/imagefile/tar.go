package imagefile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	// maxEntries of a tar file: an image has two per layer and some more; a file system by mistake has millions.
	maxEntries = 100_000
	// maxLinks that are followed one after the other; docker save writes one for a layer that repeats.
	maxLinks = 4
)

// archiveFile is a tar file, indexed by name.
type archiveFile struct {
	*os.File
	entries map[string]entry
}

type entry struct {
	offset, size int64
	link         string // name of the entry that this one stands for; else empty
	kind         byte
}

// openTar reads where each file in the tar file is.
func openTar(ctx context.Context, name string) (files, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archiveFile{File: file, entries: map[string]entry{}}
	if err := a.index(ctx); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

func (a *archiveFile) index(ctx context.Context) error {
	if err := a.refuseCompressed(); err != nil {
		return err
	}
	r := tar.NewReader(a.File)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) && len(a.entries) > 0 {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) {
			return ErrNoImages
		}
		if err != nil {
			return fmt.Errorf("reading the tar file: %w", err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if err := a.add(h); err != nil {
			return err
		}
	}
}

func (a *archiveFile) add(h *tar.Header) error {
	name := path.Clean(h.Name)
	if len(a.entries) == maxEntries {
		return fmt.Errorf("it has more than %d files", maxEntries)
	}
	if _, twice := a.entries[name]; twice {
		// Tools differ in which of the two they take.
		return fmt.Errorf("%q is in it twice", name)
	}
	// The reader takes whole blocks and no more, so that the file stands where the content begins.
	offset, err := a.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	e := entry{offset: offset, size: h.Size, kind: h.Typeflag}
	switch h.Typeflag {
	case tar.TypeSymlink:
		e.link = path.Join(path.Dir(name), h.Linkname)
	case tar.TypeLink:
		e.link = path.Clean(h.Linkname)
	}
	a.entries[name] = e
	return nil
}

// refuseCompressed looks at the first bytes. What is asked for stands anywhere in the file, so it has to be plain.
func (a *archiveFile) refuseCompressed() error {
	start := make([]byte, 4)
	n, err := io.ReadFull(a.File, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	start = start[:n]
	for tool, magic := range map[string]string{"gzip -d": "\x1f\x8b", "zstd -d": "\x28\xb5\x2f\xfd", "bzip2 -d": "BZh", "xz -d": "\xfd7zX"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return fmt.Errorf("it is compressed; unpack it with %s first", tool)
		}
	}
	_, err = a.Seek(0, io.SeekStart)
	return err
}

func (a *archiveFile) open(name string) (io.ReadCloser, int64, error) {
	for range maxLinks {
		e, ok := a.entries[path.Clean(name)]
		switch {
		case !ok:
			return nil, 0, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
		case e.link != "":
			if name = e.link; strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") {
				return nil, 0, fmt.Errorf("%q is a link out of the file", name)
			}
		case e.kind != tar.TypeReg:
			return nil, 0, fmt.Errorf("%q is no regular file", name)
		default:
			return io.NopCloser(io.NewSectionReader(a.File, e.offset, e.size)), e.size, nil
		}
	}
	return nil, 0, fmt.Errorf("%q: more than %d links", name, maxLinks)
}
