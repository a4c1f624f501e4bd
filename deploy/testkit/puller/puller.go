// Package puller pulls images over HTTP the way containerd does (HEAD the tag, GET the manifest by digest, then the
// children, the config and the layers, each verified), hundreds at a time, and can leave in the middle.
//
// It keeps no bytes and unpacks nothing.
package puller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// accept is what containerd sends for a manifest.
var accept = strings.Join([]string{
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json", "*/*",
}, ", ")

// ErrLeft says that the client left as it was told to.
var ErrLeft = errors.New("the client left")

// A Client pulls from one registry. It may be used by many goroutines.
type Client struct {
	URL    string // of the registry
	NS     string // the upstream, sent as ?ns= as containerd does; empty = none
	Leave  int64  // leave after this many bytes of layers; 0 = stay to the end
	client *http.Client
}

// New returns a client with connections of its own, so that many of them are as many machines.
func New(url string) *Client {
	return &Client{URL: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second}}}
}

// Close lets go of the connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

type descriptor struct {
	MediaType string
	Digest    string
	Size      int64
	Platform  *struct{ OS, Architecture string }
}

type manifest struct {
	Manifests []descriptor
	Config    *descriptor
	Layers    []descriptor
}

// Pull pulls one image for linux/amd64 by tag or digest and returns the digests it got, in order.
func (c *Client) Pull(ctx context.Context, repository, ref string) ([]string, error) {
	digest := ref
	if !strings.Contains(ref, ":") {
		var err error
		if digest, err = c.head(ctx, repository, ref); err != nil {
			return nil, err
		}
	}
	m, err := c.manifest(ctx, repository, digest)
	if err != nil {
		return nil, err
	}
	got := []string{digest}
	if len(m.Manifests) > 0 {
		child, err := choose(m.Manifests)
		if err != nil {
			return got, err
		}
		if m, err = c.manifest(ctx, repository, child); err != nil {
			return got, err
		}
		got = append(got, child)
	}
	if m.Config == nil {
		return got, fmt.Errorf("pulling %s: the manifest %s has no config", repository, digest)
	}
	left := c.Leave
	for _, d := range append([]descriptor{*m.Config}, m.Layers...) {
		if err := c.blob(ctx, repository, d, &left); err != nil {
			return got, err
		}
		got = append(got, d.Digest)
	}
	return got, nil
}

func choose(children []descriptor) (string, error) {
	for _, d := range children {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == "amd64" {
			return d.Digest, nil
		}
	}
	return "", errors.New("the index has no image for linux/amd64")
}

func (c *Client) head(ctx context.Context, repository, tag string) (string, error) {
	response, err := c.do(ctx, http.MethodHead, repository, "manifests", tag)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	digest := response.Header.Get("Docker-Content-Digest")
	if digest == "" {
		return "", fmt.Errorf("HEAD %s:%s: no digest", repository, tag)
	}
	return digest, nil
}

func (c *Client) manifest(ctx context.Context, repository, digest string) (manifest, error) {
	response, err := c.do(ctx, http.MethodGet, repository, "manifests", digest)
	if err != nil {
		return manifest{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return manifest{}, fmt.Errorf("reading manifest %s: %w", digest, err)
	}
	if err := verify(digest, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return manifest{}, err
	}
	var m manifest
	return m, json.Unmarshal(raw, &m)
}

// blob reads and verifies one blob; left counts down to the moment of leaving.
func (c *Client) blob(ctx context.Context, repository string, d descriptor, left *int64) error {
	response, err := c.do(ctx, http.MethodGet, repository, "blobs", d.Digest)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if c.Leave > 0 {
		n, err := io.CopyN(io.Discard, response.Body, min(*left, d.Size))
		if *left -= n; *left <= 0 {
			return ErrLeft
		}
		return err
	}
	return verify(d.Digest, response.Body, d.Size)
}

// do asks and returns the answer when its status is 200, else the status and the registry's message as an error.
func (c *Client) do(ctx context.Context, method, repository, kind, reference string) (*http.Response, error) {
	url := c.URL + "/v2/" + repository + "/" + kind + "/" + reference
	if c.NS != "" {
		url += "?ns=" + c.NS
	}
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "containerd/puller")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // the status is the error already
		return nil, fmt.Errorf("%s %s %s: %s: %s", method, kind, reference, response.Status, body)
	}
	return response, nil
}

func verify(digest string, r io.Reader, size int64) error {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	if err != nil {
		return fmt.Errorf("reading %s after %d of %d bytes: %w", digest, n, size, err)
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != digest || n != size {
		return fmt.Errorf("got %d bytes that hash to %s, want %d that hash to %s", n, got, size, digest)
	}
	return nil
}
