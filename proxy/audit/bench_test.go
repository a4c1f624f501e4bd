package audit

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func BenchmarkEncode(b *testing.B) {
	r := pull("4b8f0f1e5a7c4d5e", DecisionAdmit)
	r.Time = time.Now()
	body, out, c := make([]byte, 0, 4096), make([]byte, 0, 4096), newChain()
	b.ReportAllocs()
	for b.Loop() {
		body = appendBody(body[:0], r)
		out = c.append(out[:0], body)
	}
	b.SetBytes(int64(len(out)))
}

// BenchmarkDecided is LD-12: 64 callers that each wait for their record. It reports decisions a second, CPU time a
// record, and the 99th percentile of the wait.
func BenchmarkDecided(b *testing.B) {
	const callers = 64
	for name, noSync := range map[string]bool{"fsync": false, "nosync": true} {
		b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
			l, err := Open(Options{Path: b.TempDir(), NoSync: noSync})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			cpu, start := cpuTime(b), time.Now()
			waits := record(b, l, callers)
			took := time.Since(start)
			b.ReportMetric(float64(b.N)/took.Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/record")
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func record(b *testing.B, l *Log, callers int) []time.Duration {
	waits := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			r := pull("4b8f0f1e5a7c4d5e", DecisionAdmit)
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				start := time.Now()
				if err := l.Decided(b.Context(), r); err != nil {
					b.Error(err)
				}
				waits[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return waits
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Options{Path: dir, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	for range 20_000 {
		if err := l.Append(pull("4b8f0f1e5a7c4d5e", DecisionAdmit)); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	names, err := segments(dir)
	if err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(dir + "/" + names[0])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		if _, err := Verify(dir); err != nil {
			b.Fatal(err)
		}
	}
}
