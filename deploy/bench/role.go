package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// roleVariable makes this program play a part beside the measuring one, so that its CPU time is its own.
const roleVariable = "WINNOW_BENCH_ROLE"

// The parts.
const (
	roleUpstream = "upstream"
	roleBare     = "bare"
)

// play serves as role on args[0] until ctx ends.
func play(ctx context.Context, role string, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("the role %q needs an address and a file", role)
	}
	server := &http.Server{}
	switch role {
	case roleUpstream:
		server.Handler = &upstream{dir: args[1]}
	case roleBare:
		answers, err := readAnswers(args[1])
		if err != nil {
			return err
		}
		server.Handler = answers
		if len(args) == 4 {
			pair, err := tls.LoadX509KeyPair(args[2], args[3])
			if err != nil {
				return err
			}
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
		}
	default:
		return fmt.Errorf("no role %q", role)
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if server.TLSConfig != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// An answer is what the bare server says to requests for one path.
type answer struct {
	Header http.Header
	File   string // of the body
	Blob   bool   // served by http.ServeContent; else from memory
	body   []byte
}

// answers by path.
type answers map[string]*answer

func readAnswers(path string) (answers, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var a answers
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for _, one := range a {
		if one.Blob {
			continue
		}
		if one.body, err = os.ReadFile(one.File); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// ServeHTTP implements http.Handler, with nothing that could be left out.
func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one := a[r.URL.Path]
	if one == nil {
		return // the ping
	}
	h := w.Header()
	for key, values := range one.Header {
		h[key] = values
	}
	if one.Blob {
		f, err := os.Open(one.File)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
		return
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(one.body) // the client left
	}
}

// upstream is a registry that serves a folder and counts the bytes of content that it sends.
type upstream struct {
	dir  string
	sent atomic.Int64
}

// sentPath is where the upstream tells how much it has sent.
const sentPath = "/sent"

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	parts := strings.Split(path, "/")
	var err error
	switch {
	case r.URL.Path == sentPath:
		fmt.Fprint(w, u.sent.Load())
	case ok && len(parts) == 3 && parts[1] == "manifests":
		err = u.manifest(w, r, parts[0], parts[2])
	case ok && len(parts) == 3 && parts[1] == "blobs":
		err = u.blob(w, r, parts[2])
	}
	if errors.Is(err, os.ErrNotExist) {
		http.NotFound(w, r)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (u *upstream) manifest(w http.ResponseWriter, r *http.Request, repository, reference string) error {
	if !isDigest(reference) {
		digest, err := os.ReadFile(filepath.Join(u.dir, "tags", repository, reference))
		if err != nil {
			return err
		}
		reference = string(digest)
	}
	return u.file(w, r, filepath.Join(u.dir, "manifests", reference), manifestType)
}

func (u *upstream) blob(w http.ResponseWriter, r *http.Request, digest string) error {
	size, err := os.ReadFile(filepath.Join(u.dir, "huge", digest))
	if err != nil {
		return u.file(w, r, filepath.Join(u.dir, "blobs", digest), "application/octet-stream")
	}
	n, err := strconv.ParseInt(string(size), 10, 64)
	if err != nil {
		return err
	}
	content, err := newRepeated(n)
	if err == nil {
		u.send(w, r, digest, "application/octet-stream", content.section())
	}
	return err
}

func (u *upstream) file(w http.ResponseWriter, r *http.Request, path, mediaType string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	u.send(w, r, filepath.Base(path), mediaType, f)
	return nil
}

func (u *upstream) send(w http.ResponseWriter, r *http.Request, digest, mediaType string, body io.ReadSeeker) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Etag", `"`+digest+`"`)
	http.ServeContent(counted{w, &u.sent}, r, "", time.Time{}, body)
}

// counted counts a body without taking the operating system's way of sending a file from it.
type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c counted) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.n.Add(n)
	return n, err
}
