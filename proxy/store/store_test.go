package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
	"go.uber.org/goleak"

	"github.com/winnow-registry/winnow/proxy/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVariable); dir != "" {
		crashChild(dir)
		return
	}
	// With a CA bundle in the environment the AWS client writes to http.DefaultTransport whenever a driver is made, a
	// race among tests that each make one. The test's server speaks plain HTTP.
	if err := os.Unsetenv("AWS_CA_BUNDLE"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		// The AWS client keeps its idle connections in http.DefaultTransport.
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
	)
}

// eachDriver runs a test on the filesystem, in memory and on a real S3 server.
func eachDriver(t *testing.T, test func(t *testing.T, opts Options)) {
	t.Run("filesystem", func(t *testing.T) {
		t.Parallel()
		test(t, onDisk(t.TempDir()))
	})
	t.Run("inmemory", func(t *testing.T) {
		t.Parallel()
		test(t, Options{Driver: "inmemory", SpoolDir: t.TempDir()})
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		test(t, Options{Driver: "s3", Parameters: storetest.StartS3(t).Parameters(), SpoolDir: t.TempDir()})
	})
}

func onDisk(root string) Options {
	return Options{Parameters: map[string]any{"rootdirectory": root}}
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// content returns bytes that differ for each seed, and their digest.
func content(seed uint64, size int) ([]byte, string) {
	b := make([]byte, size)
	generator := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = generator.Read(b) // never fails
	return b, digestOf(b)
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func from(b []byte) Source {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// fetch stores bytes by way of Fetch.
func fetch(t testing.TB, s *Store, b []byte) string {
	t.Helper()
	digest := digestOf(b)
	fill, err := s.Fetch(t.Context(), digest, int64(len(b)), from(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := fill.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return digest
}

func status(err error) int {
	var decided interface{ StatusCode() int }
	if errors.As(err, &decided) {
		return decided.StatusCode()
	}
	return 0
}

func wantStatus(t testing.TB, err error, want int) {
	t.Helper()
	if got := status(err); got != want {
		t.Errorf("error %v has status %d, want %d", err, got, want)
	}
}

func TestObjectsReadBackAsStored(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, opts Options) {
		s := open(t, opts)
		ctx := t.Context()
		for i, size := range []int{0, 1, 2, bufferSize - 1, bufferSize, 3*bufferSize + 7, wholeUpload + 1, 11 << 20} {
			want, digest := content(uint64(i), size)
			if _, err := s.Stat(ctx, digest); status(err) != http.StatusNotFound {
				t.Fatalf("size %d: before the fetch: %v, want not found", size, err)
			}
			fetch(t, s, want)
			if got, err := s.Stat(ctx, digest); err != nil || got != int64(size) {
				t.Fatalf("size %d: Stat gives %d, %v", size, got, err)
			}
			object, err := s.Open(ctx, digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, want) || object.Size() != int64(size) {
				t.Errorf("size %d: read %d bytes, Size %d, %v", size, len(got), object.Size(), err)
			}
			middle := int64(size / 2)
			if _, err := object.Seek(-middle, io.SeekEnd); err != nil {
				t.Fatal(err)
			}
			var tail bytes.Buffer
			if _, err := object.WriteTo(&tail); err != nil || !bytes.Equal(tail.Bytes(), want[int64(size)-middle:]) {
				t.Errorf("size %d: after Seek: %d bytes, %v", size, tail.Len(), err)
			}
			if (object.File() != nil) != (s.disk != nil) {
				t.Errorf("File() = %v with driver %s", object.File(), opts.Driver)
			}
			if err := object.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnotherProcessReadsDistributionsLayout(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, onDisk(root))
	want, digest := content(1, 1000)
	fetch(t, s, want)
	hex := digest[len("sha256:"):]
	got, err := os.ReadFile(filepath.Join(root, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("blob in distribution's place: %d bytes, %v", len(got), err)
	}
	driver, err := s.driver.GetContent(t.Context(), "/docker/registry/v2/blobs/sha256/"+hex[:2]+"/"+hex+"/data")
	if err != nil || !bytes.Equal(driver, want) {
		t.Errorf("through distribution's driver: %d bytes, %v", len(driver), err)
	}
}

func TestSmallObjects(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, opts Options) {
		s := open(t, opts)
		ctx := t.Context()
		want, digest := content(1, 4000)
		_, err := s.Get(ctx, digest, 1<<20)
		wantStatus(t, err, http.StatusNotFound)
		wantStatus(t, s.Put(ctx, digest, want[1:]), http.StatusBadGateway)
		if err := s.Put(ctx, digest, want); err != nil {
			t.Fatal(err)
		}
		for range 2 { // from memory, then from storage
			if got, err := s.Get(ctx, digest, 4000); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Get: %d bytes, %v", len(got), err)
			}
			if _, err := s.Get(ctx, digest, 3999); err == nil || reason(err) != ReasonTooLarge {
				t.Errorf("Get with a lower limit: %v, want %s", err, ReasonTooLarge)
			}
			s.hot.remove(digest)
		}
	})
}

func reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason()
	}
	return ""
}

func TestBadDigestsNeverBecomePaths(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	_, good := content(1, 1)
	for _, digest := range []string{
		"", "sha256", "sha256:", good[:len(good)-1], good + "0", "sha256:../../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e",
		"sha256:" + "A" + good[8:], "SHA256" + good[6:], good + "\n", "sha512" + good[6:],
	} {
		ctx := t.Context()
		_, statErr := s.Stat(ctx, digest)
		_, openErr := s.Open(ctx, digest)
		_, getErr := s.Get(ctx, digest, 1)
		_, fetchErr := s.Fetch(ctx, digest, 1, from(nil))
		_, urlErr := s.URL(ctx, digest, http.MethodGet)
		for _, err := range []error{statErr, openErr, getErr, fetchErr, urlErr, s.Put(ctx, digest, nil), s.Link(ctx, "a/b", digest), s.Discard(ctx, digest)} {
			wantStatus(t, err, http.StatusBadRequest)
		}
	}
}

func TestRedirectGivesSignedAddress(t *testing.T) {
	t.Parallel()
	server := storetest.StartS3(t)
	want, digest := content(1, 100_000)
	off := open(t, Options{Driver: "s3", Parameters: server.Parameters()})
	fetch(t, off, want)
	if url, err := off.URL(t.Context(), digest, http.MethodGet); url != "" || err != nil {
		t.Errorf("with redirects off: %q, %v", url, err)
	}
	on := open(t, Options{Driver: "s3", Parameters: server.Parameters(), Redirect: true})
	url, err := on.URL(t.Context(), digest, http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("from the object store: status %d, %d bytes, %v", response.StatusCode, len(got), err)
	}
	disk := onDisk(t.TempDir())
	disk.Redirect = true
	if url, err := open(t, disk).URL(t.Context(), digest, http.MethodGet); url != "" || err != nil {
		t.Errorf("on the filesystem: %q, %v", url, err)
	}
}
