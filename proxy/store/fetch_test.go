package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A tap is a source whose bytes come when the test says so.
type tap struct {
	*io.PipeWriter
	opened atomic.Int32
	source Source
}

func newTap() *tap {
	reader, writer := io.Pipe()
	t := &tap{PipeWriter: writer}
	t.source = func(ctx context.Context) (io.ReadCloser, error) {
		t.opened.Add(1)
		context.AfterFunc(ctx, func() { reader.CloseWithError(context.Cause(ctx)) })
		return reader, nil
	}
	return t
}

func TestManyReadersShareOneFetch(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, opts Options) {
		s := open(t, opts)
		want, digest := content(1, 3<<20+5)
		source := newTap()
		var group sync.WaitGroup
		for i := range 50 {
			fill, err := s.Fetch(t.Context(), digest, int64(len(want)), source.source)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := fill.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				defer reader.Close()
				offset := int64(i * 1000)
				if _, err := reader.Seek(offset, io.SeekStart); err != nil {
					t.Error(err)
				}
				var got bytes.Buffer
				var err error
				if i%2 == 0 {
					_, err = reader.WriteTo(&got)
				} else {
					_, err = io.Copy(&got, struct{ io.Reader }{reader})
				}
				if err != nil || !bytes.Equal(got.Bytes(), want[offset:]) {
					t.Errorf("reader %d: %d bytes, %v", i, got.Len(), err)
				}
			})
		}
		if _, err := source.Write(want); err != nil {
			t.Fatal(err)
		}
		_ = source.Close()
		group.Wait()
		if n := source.opened.Load(); n != 1 {
			t.Errorf("the source was opened %d times, want once", n)
		}
	})
}

func TestLastByteIsWithheldUntilVerified(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	want, digest := content(1, 1000)
	source := newTap()
	fill, err := s.Fetch(t.Context(), digest, 1000, source.source)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := source.Write(want); err != nil { // all bytes, and no end yet
		t.Fatal(err)
	}
	got := make([]byte, 999)
	if _, err := io.ReadFull(reader, got); err != nil {
		t.Fatal(err)
	}
	last := make(chan error)
	go func() {
		_, err := io.ReadFull(reader, make([]byte, 1))
		last <- err
	}()
	select {
	case err := <-last:
		t.Fatalf("the last byte came before the end was seen: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = source.Close()
	if err := <-last; err != nil {
		t.Error(err)
	}
}

func TestWrongContentIsNeverCompleteNorStored(t *testing.T) {
	t.Parallel()
	want, digest := content(1, 300_000)
	flipped := bytes.Clone(want)
	flipped[len(flipped)-1] ^= 1
	reset := errors.New("connection reset")
	cases := []struct {
		name   string
		source Source
		status int
		cause  error
	}{
		{"another digest", from(flipped), http.StatusBadGateway, nil},
		{"one byte short", from(want[:len(want)-1]), http.StatusBadGateway, nil},
		{"one byte more", from(append(bytes.Clone(want), 0)), http.StatusBadGateway, nil},
		{"empty", from(nil), http.StatusBadGateway, nil},
		{"cut off", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(want[:1000]), failing{reset})), nil
		}, 0, reset},
		{"refused", func(context.Context) (io.ReadCloser, error) { return nil, reset }, 0, reset},
		{"silent", func(context.Context) (io.ReadCloser, error) { return io.NopCloser(failing{nil}), nil }, 0, io.ErrNoProgress},
	}
	eachDriver(t, func(t *testing.T, opts Options) {
		s := open(t, opts)
		for _, test := range cases {
			fill, err := s.Fetch(t.Context(), digest, int64(len(want)), test.source)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := fill.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, readErr := io.ReadAll(reader)
			if readErr == nil || len(got) >= len(want) {
				t.Errorf("%s: a reader got %d bytes and %v: looks complete", test.name, len(got), readErr)
			}
			waitErr := fill.Wait(t.Context())
			for _, err := range []error{readErr, waitErr} {
				wantStatus(t, err, test.status)
				if test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("%s: %v does not say %v", test.name, err, test.cause)
				}
			}
			_, err = s.Stat(t.Context(), digest)
			wantStatus(t, err, http.StatusNotFound)
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
		fetch(t, s, want) // a failed fetch does not stand in the way of the next
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestFetchGoesOnWhenItsFirstClientLeaves(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	want, digest := content(1, 10_000)
	source := newTap()
	ctx, leave := context.WithCancel(t.Context())
	fill, err := s.Fetch(ctx, digest, int64(len(want)), source.source)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Write(want[:5000]); err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := io.ReadAll(reader); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader whose client left: %v", err)
	}
	_ = reader.Close()
	if _, err := source.Write(want[5000:]); err != nil {
		t.Fatal(err)
	}
	_ = source.Close()
	if err := fill.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	again, err := s.Fetch(t.Context(), digest, int64(len(want)), source.source)
	if err != nil {
		t.Fatal(err)
	}
	late, err := again.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if got, err := io.ReadAll(late); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after the fetch: %d bytes, %v", len(got), err)
	}
	if n := source.opened.Load(); n != 1 {
		t.Errorf("the source was opened %d times, want once", n)
	}
}

func TestManifestThatLiesAboutSizeDoesNotSpoilOthers(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	want, digest := content(1, 1000)
	lie, err := s.Fetch(t.Context(), digest, 999, from(want))
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, s, want)
	wantStatus(t, lie.Wait(t.Context()), http.StatusBadGateway)
	lie, err = s.Fetch(t.Context(), digest, 999, from(want))
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, lie.Wait(t.Context()), http.StatusBadGateway)
	if size, err := s.Stat(t.Context(), digest); size != 1000 || err != nil {
		t.Errorf("the object after a lie about it: %d, %v", size, err)
	}
}

func TestCloseEndsFetchesAndTellsReaders(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), onDisk(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	_, digest := content(1, 1000)
	fill, err := s.Fetch(t.Context(), digest, 1000, newTap().source)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := fill.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(reader); err == nil {
		t.Error("a reader of an unfinished fetch saw it end well")
	}
	_ = reader.Close()
	_, err = s.Fetch(t.Context(), digest, 1000, from(nil))
	wantStatus(t, err, http.StatusServiceUnavailable)
}

func TestColdObjectOverHTTP(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	want, digest := content(1, 5<<20)
	source := newTap()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fill, err := s.Fetch(r.Context(), digest, int64(len(want)), source.source)
		if err != nil {
			t.Error(err)
			return
		}
		reader, err := fill.Open(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer reader.Close()
		http.ServeContent(w, r, "", time.Time{}, reader)
	}))
	defer server.Close()
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 300_000)
			_, _ = source.Write(rest[:n]) // a failure shows at the client
			rest = rest[n:]
		}
		_ = source.Close()
	}()
	for _, ranged := range []string{"", "bytes=1000-4000000", "bytes=5242879-"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		expect := want
		switch ranged {
		case "bytes=1000-4000000":
			expect = want[1000:4000001]
		case "bytes=5242879-":
			expect = want[5242879:]
		}
		if ranged != "" {
			request.Header.Set("Range", ranged)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !bytes.Equal(got, expect) {
			t.Errorf("range %q: %d of %d bytes, %v", ranged, len(got), len(expect), err)
		}
	}
}

// Whatever a reader does, and whatever the source does, what it reads is the object's bytes, and complete only if
// the object is.
func TestReadersSeeTheObjectOrAnError(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	var seed atomic.Uint64
	rapid.Check(t, func(t *rapid.T) {
		want, digest := content(seed.Add(1), rapid.IntRange(1, 400_000).Draw(t, "size"))
		fault := rapid.SampledFrom([]string{"none", "none", "flip", "cut", "extra"}).Draw(t, "fault")
		sent := bytes.Clone(want)
		switch {
		case fault == "extra":
			sent = append(sent, 1)
		case fault == "flip":
			sent[rapid.IntRange(0, len(sent)-1).Draw(t, "at")] ^= 0x80
		case fault == "cut":
			sent = sent[:rapid.IntRange(0, len(sent)-1).Draw(t, "at")]
		}
		fill, err := s.Fetch(context.Background(), digest, int64(len(want)), func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(&slowly{bytes.NewReader(sent)}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		reader, err := fill.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for range rapid.IntRange(1, 5).Draw(t, "reads") {
			offset := rapid.Int64Range(0, int64(len(want))).Draw(t, "offset")
			if _, err := reader.Seek(offset, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(reader)
			switch {
			case fault == "none" && (err != nil || !bytes.Equal(got, want[offset:])):
				t.Fatalf("from %d: %d bytes, %v; want %d", offset, len(got), err, len(want)-int(offset))
			case fault != "none" && err == nil && len(got) > 0:
				t.Fatalf("from %d with fault %s: %d bytes and no error", offset, fault, len(got))
			}
		}
		if err := fill.Wait(context.Background()); (err == nil) != (fault == "none") {
			t.Fatalf("fault %s: Wait gives %v", fault, err)
		}
	})
}

func TestPassthroughVerifies(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 70_000} {
		want, digest := content(3, size)
		through := func(sent []byte) ([]byte, error) {
			r, err := Passthrough(digest, int64(size), io.NopCloser(bytes.NewReader(sent)))
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		}
		if got, err := through(want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: %d bytes, %v", size, len(got), err)
		}
		if got, err := through(append(bytes.Clone(want), 1)); err == nil || size > 0 && len(got) >= size {
			t.Errorf("size %d with a byte more: %d bytes, %v", size, len(got), err)
		}
		if size == 0 {
			continue
		}
		bad := bytes.Clone(want)
		bad[0] ^= 1
		for _, sent := range [][]byte{bad, want[:size-1]} {
			got, err := through(sent)
			wantStatus(t, err, http.StatusBadGateway)
			if len(got) >= size {
				t.Errorf("size %d: wrong content came complete", size)
			}
		}
	}
}

func TestFetchesUseOneSpoolFileEach(t *testing.T) {
	t.Parallel()
	s := open(t, onDisk(t.TempDir()))
	taps := make([]*tap, 32)
	for i := range taps {
		taps[i] = newTap()
		want, digest := content(uint64(i), 200_000)
		fill, err := s.Fetch(t.Context(), digest, int64(len(want)), taps[i].source)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			reader, err := fill.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
		}
		if _, err := taps[i].Write(want); err != nil {
			t.Fatal(err)
		}
	}
	names, err := os.ReadDir(s.disk.spool)
	if err != nil || len(names) != len(taps) {
		t.Errorf("%d spool files for %d fetches with 20 readers each, %v", len(names), len(taps), err)
	}
	for _, source := range taps {
		_ = source.Close()
	}
}
