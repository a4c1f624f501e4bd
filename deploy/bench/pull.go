package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// parallelLayers is how many layers a client downloads at once: Docker's and containerd's default.
const parallelLayers = 3

// pull downloads an image as a client does: the tag is looked up, then manifest, configuration and layers.
func pull(ctx context.Context, s *server, i image) error {
	client := &http.Client{Transport: s.transport()}
	defer client.CloseIdleConnections()
	base := s.url("/v2/" + i.repository)
	response, err := do(ctx, client, http.MethodHead, base+"/manifests/"+i.tag)
	if err != nil {
		return err
	}
	response.Body.Close()
	if err := download(ctx, client, base+"/manifests/"+i.manifest.Digest, i.manifest.Size); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(parallelLayers)
	for _, d := range append([]descriptor{i.config}, i.layers...) {
		all.Go(func() error { return download(ctx, client, base+"/blobs/"+d.Digest, d.Size) })
	}
	return all.Wait()
}

func download(ctx context.Context, client *http.Client, url string, size int64) error {
	response, err := get(ctx, client, url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, readBuffer))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes in place of %d", n, size)
	}
	if err != nil {
		return fmt.Errorf("downloading %s: %w", url, err)
	}
	return nil
}

// leave begins a download and drops the connection after some bytes.
func leave(ctx context.Context, s *server, i image, d descriptor, after int64) error {
	client := &http.Client{Transport: s.transport()}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := get(ctx, client, s.url("/v2/"+i.repository+"/blobs/"+d.Digest))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.CopyN(io.Discard, response.Body, after)
	return err
}

// sent asks the upstream how many bytes of content it has sent.
func (b *bench) sent(ctx context.Context) (int64, error) {
	client := &http.Client{Transport: b.upstream.transport()}
	defer client.CloseIdleConnections()
	response, err := get(ctx, client, b.upstream.url(sentPath))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}
