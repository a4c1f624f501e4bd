package main

import (
	"context"
	"errors"
	"io"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission"
	"github.com/winnow-registry/winnow/proxy/store"
	"github.com/winnow-registry/winnow/proxy/upstream"
)

// The packages below admission do not know it: here their types become the ones it asks for.

// registries is an upstream.Client as admission sees it.
type registries struct{ *upstream.Client }

func (r registries) Resolve(ctx context.Context, upstream, repository, tag string) (policy.Resolution, error) {
	d, err := r.Client.Resolve(ctx, upstream, repository, tag)
	return policy.Resolution{Digest: d.Digest, MediaType: d.MediaType, Size: d.Size}, err
}

// blobs is a store.Store as admission sees it.
type blobs struct{ *store.Store }

func (b blobs) Open(ctx context.Context, digest string) (admission.Object, error) {
	o, err := b.Store.Open(ctx, digest)
	if err != nil {
		return nil, err // not a typed nil inside of an interface
	}
	return o, nil
}

func (b blobs) Fetch(ctx context.Context, digest string, size int64, source func(context.Context) (io.ReadCloser, error)) (admission.Fill, error) {
	f, err := b.Store.Fetch(ctx, digest, size, source)
	if err != nil {
		return nil, err
	}
	return filling{f}, nil
}

// filling is a store.Fill as admission sees it.
type filling struct{ *store.Fill }

func (f filling) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	r, err := f.Fill.Open(ctx)
	if err != nil {
		return nil, err
	}
	if offset == 0 && length == r.Size() {
		return r, nil
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		r.Close()
		return nil, err
	}
	return &partial{r: r, left: length, tail: offset+length == r.Size()}, nil
}

// partial reads a part of a fill. Its last byte is handed out only after the whole is verified.
type partial struct {
	r    *store.Reader
	left int64
	tail bool // ends where the object does, whose last byte waits for that anyway
}

func (p *partial) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	n, err := p.r.Read(b[:min(int64(len(b)), max(p.left-1, 1))])
	if p.left > int64(n) {
		p.left -= int64(n)
		return n, early(err)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if !p.tail {
		if err := p.verified(); err != nil {
			return 0, err
		}
	}
	p.left = 0
	return n, nil
}

// verified waits until the object's own last byte is handed out, which the store does not do before.
func (p *partial) verified() error {
	if _, err := p.r.Seek(-1, io.SeekEnd); err != nil {
		return err
	}
	_, err := io.ReadFull(p.r, make([]byte, 1))
	return early(err)
}

func (p *partial) Close() error { return p.r.Close() }

// early keeps an end before the end from looking like one.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
