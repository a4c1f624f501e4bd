package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// upstreamName is what clients call the registry behind Winnow.
const upstreamName = "registry.example"

const (
	goodRef = "shop/web:1.4"
	badRef  = "shop/web:1.5-rc1"
)

// leaked is a key in the form that Amazon's documentation uses for examples.
const leaked = "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLQ"

// An upstream is a registry in this process that counts what it is asked.
type upstream struct {
	url    string
	images []sample
	asked  atomic.Int64
	server *http.Server
}

type sample struct{ ref, about string }

func startUpstream(ctx context.Context, dir string) (*upstream, error) {
	layer, err := application(ctx, dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{url: "http://" + l.Addr().String(), images: []sample{
		{goodRef, "a web server that runs as an ordinary user"},
		{badRef, "the same, built with a cloud key in its environment"},
	}}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	u.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.asked.Add(1)
		handler.ServeHTTP(w, r)
	})}
	go func() { _ = u.server.Serve(l) }() // ends with close
	for ref, env := range map[string]string{goodRef: "MODE=production", badRef: leaked} {
		if err := push(ctx, l.Addr().String()+"/"+ref, layer, env); err != nil {
			u.close()
			return nil, fmt.Errorf("pushing %s: %w", ref, err)
		}
	}
	return u, nil
}

func (u *upstream) close() { _ = u.server.Close() }

// push makes an image of the layer and writes it to ref.
func push(ctx context.Context, ref string, layer v1.Layer, env string) error {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayer})
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", "amd64", v1.Time{Time: time.Now()}
	config.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/web"}, Env: []string{env},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/web", "-check"}},
		Labels:      map[string]string{"org.opencontainers.image.source": "https://git.example/shop/web"},
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, image, remote.WithContext(ctx))
}

// application builds a small static program and returns a layer that holds it.
func application(ctx context.Context, dir string) (v1.Layer, error) {
	path := filepath.Join(dir, "web")
	if err := build(ctx, path, "github.com/winnow-registry/winnow/deploy/testkit/images/server", "GOOS=linux", "GOARCH=amd64"); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
