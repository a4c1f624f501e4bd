package main

import (
	"context"
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
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}
