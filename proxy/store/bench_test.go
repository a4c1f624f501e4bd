package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"testing"
)

// The floor of a cold fetch: hash and write, nothing else.
func BenchmarkHashAndWrite(b *testing.B) {
	data, _ := content(1, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		file, err := os.CreateTemp(b.TempDir(), "")
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.CopyBuffer(io.MultiWriter(sum, file), struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, bufferSize)); err != nil {
			b.Fatal(err)
		}
		sum.Sum(nil)
		if err := os.Remove(file.Name()); err != nil {
			b.Fatal(err)
		}
		_ = file.Close()
	}
}

// A cold fetch until it is verified, as a reader sees it, and until it is durable.
func BenchmarkFetch(b *testing.B) {
	data, digest := content(1, 64<<20)
	for _, durable := range []bool{false, true} {
		name := "verified"
		if durable {
			name = "durable"
		}
		b.Run(name, func(b *testing.B) {
			s := open(b, onDisk(b.TempDir()))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				fill, err := s.Fetch(b.Context(), digest, int64(len(data)), from(data))
				if err != nil {
					b.Fatal(err)
				}
				reader, err := fill.Open(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := reader.Seek(-1, io.SeekEnd); err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, reader); err != nil {
					b.Fatal(err)
				}
				_ = reader.Close()
				if !durable {
					b.StopTimer()
				}
				if err := fill.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				addr, _ := parseAddress(digest)
				if err := s.remove(b.Context(), addr); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkOpenAndRead(b *testing.B) {
	data, digest := content(1, 4096)
	s := open(b, onDisk(b.TempDir()))
	fill, err := s.Fetch(b.Context(), digest, int64(len(data)), from(data))
	if err != nil {
		b.Fatal(err)
	}
	if err := fill.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, len(data))
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			object, err := s.Open(context.Background(), digest)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(object, buffer); err != nil {
				b.Fatal(err)
			}
			_ = object.Close()
		}
	})
	addr, _ := parseAddress(digest)
	b.Run("os", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			file, err := os.Open(s.disk.file(addr))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := file.Stat(); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(file, buffer); err != nil {
				b.Fatal(err)
			}
			_ = file.Close()
		}
	})
}

func BenchmarkGetSmall(b *testing.B) {
	data, digest := content(1, 4096)
	s := open(b, onDisk(b.TempDir()))
	if err := s.Put(b.Context(), digest, data); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Get(context.Background(), digest, 1<<20); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
