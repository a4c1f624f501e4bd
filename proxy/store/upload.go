package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
)

// wholeUpload is the size up to which an object is sent in one request: one instead of three, and no larger in memory
// than a part of a larger one.
const wholeUpload = s3ChunkSize

// upload sends a verified spool to the object store.
func (s *Store) upload(ctx context.Context, addr address, spool *os.File, size int64) error {
	select {
	case s.uploadSlots <- struct{}{}:
		defer func() { <-s.uploadSlots }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to upload: %w", context.Cause(ctx))
	}
	content := io.NewSectionReader(spool, 0, size)
	if size <= wholeUpload {
		data := make([]byte, size)
		if _, err := io.ReadFull(content, data); err != nil {
			return fmt.Errorf("reading the spool: %w", notEOF(err))
		}
		return s.driver.PutContent(ctx, addr.path(), data)
	}
	if s.opts.Driver == driverS3 || s.opts.Driver == driverS3AWS {
		// An upload to S3 is invisible until it is complete, and cancelling one leaves the object alone.
		return s.send(ctx, addr.path(), content)
	}
	temporary := uploadsRoot + "/" + rand.Text()
	if err := s.send(ctx, temporary, content); err != nil {
		return err
	}
	if err := s.driver.Move(ctx, temporary, addr.path()); err != nil {
		return errors.Join(err, s.driver.Delete(context.WithoutCancel(ctx), temporary))
	}
	return nil
}

func (s *Store) send(ctx context.Context, path string, content io.Reader) error {
	writer, err := s.driver.Writer(ctx, path, false)
	if err != nil {
		return fmt.Errorf("beginning an upload: %w", err)
	}
	buffer, _ := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buffer)
	if _, err = io.CopyBuffer(struct{ io.Writer }{writer}, struct{ io.Reader }{content}, buffer[:]); err == nil {
		err = writer.Commit(ctx)
	}
	if err != nil {
		// The context may be what ended the upload; taking it back needs one that goes on.
		return errors.Join(fmt.Errorf("uploading: %w", err), writer.Cancel(context.WithoutCancel(ctx)))
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("ending an upload: %w", err)
	}
	return nil
}
