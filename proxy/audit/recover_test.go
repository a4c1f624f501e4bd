package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzAuditRecover damages a log: bits are flipped, the end is cut off, bytes are put in. Whatever it is, either
// Verify says so, or what it reports as good is what was written; and the log can be opened and continued, or
// opening it says why not. Nothing that was there is lost: it is in the log or kept aside.
func FuzzAuditRecover(f *testing.F) {
	f.Add(uint16(100), byte(1), uint16(0), []byte(nil), true)
	f.Add(uint16(0), byte(0), uint16(1), []byte(nil), false)
	f.Add(uint16(700), byte(0x80), uint16(500), []byte("\x00\x00\n"), true)
	f.Add(uint16(65535), byte(0), uint16(0), []byte("{\"seq\":9,\"prev\":\""+Genesis+"\"}\n"), false)
	f.Fuzz(func(t *testing.T, at uint16, flip byte, cut uint16, tail []byte, keepHead bool) {
		dir, original := sample(t)
		path := lastSegment(t, dir)
		damaged := bytes.Clone(original)
		damaged[int(at)%len(damaged)] ^= flip
		damaged = append(damaged[:len(damaged)-int(cut)%len(damaged)], tail...)
		writeFile(t, path, damaged)
		if !keepHead {
			_ = os.Remove(filepath.Join(dir, headName))
		}

		before, err := Verify(dir)
		checkPrefix(t, original, damaged, before, err)
		if keepHead && err == nil && !bytes.HasPrefix(damaged, original) {
			t.Errorf("the damage went unnoticed with the head noted: %+v", before)
		}

		l, err := Open(Options{Path: dir, NoSync: true})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("opening says why on more than one line: %v", err)
			}
			return
		}
		<-l.settled
		if err := l.Decided(t.Context(), pull("after", DecisionAdmit)); err != nil {
			t.Errorf("recording after recovery: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closing after recovery: %v", err)
		}
		checkKept(t, path, damaged)
		after, _ := Verify(dir)
		if after.Records < before.Records {
			t.Errorf("%d records are good after recovery, %d were before", after.Records, before.Records)
		}
	})
}

// sample writes a short log and returns its only segment's content.
func sample(t *testing.T) (dir string, content []byte) {
	t.Helper()
	dir = t.TempDir()
	clock := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := open(t, Options{Path: dir, NoSync: true, now: func() time.Time { return clock }})
	decide(t, l, "a", "b")
	complete(t, l, "a", "b")
	closeLog(t, l)
	return dir, readFile(t, lastSegment(t, dir))
}

// checkPrefix checks that all lines that Verify called good are the original ones, but for the last where nothing
// vouches for it yet: no line after it, and no head.
func checkPrefix(t *testing.T, original, damaged []byte, report Report, err error) {
	t.Helper()
	want, got := bytes.SplitAfter(original, []byte("\n")), bytes.SplitAfter(damaged, []byte("\n"))
	good := int(report.Records) - 1
	var bad *BadRecord
	if errors.As(err, &bad) {
		good = min(good, int(bad.Seq)-1)
	}
	for i := 0; i < good && i < len(want)-1; i++ {
		if !bytes.Equal(want[i], got[i]) {
			t.Errorf("record %d counts as good but was changed:\n%s%s", i+1, want[i], got[i])
		}
	}
}

// checkKept checks that the segment and what was kept aside of it begin with all that was there.
func checkKept(t *testing.T, path string, damaged []byte) {
	t.Helper()
	whole, _ := os.ReadFile(path) // gone where nothing of it was whole
	aside, err := filepath.Glob(path + ".*.torn")
	if err != nil || len(aside) > 1 {
		t.Fatalf("kept aside: %v, %v", aside, err)
	}
	if len(aside) == 0 {
		if !bytes.HasPrefix(whole, damaged) {
			t.Errorf("bytes of the segment are gone")
		}
		return
	}
	torn := readFile(t, aside[0])
	if !bytes.HasSuffix(damaged, torn) || !bytes.HasPrefix(whole, damaged[:len(damaged)-len(torn)]) {
		t.Errorf("bytes of the segment are neither in it nor kept aside")
	}
}

// TestARestartIsQuick holds the share of the log in the 30 ms that a start may take, with a last segment full to its
// end and the process before killed.
func TestARestartIsQuick(t *testing.T) {
	dir := t.TempDir()
	var b []byte
	c := newChain()
	r := pull("x", DecisionAdmit)
	r.Time = time.Now()
	for body := appendBody(nil, r); len(b) < defaultSegmentSize-4096; {
		b = c.append(b, body)
	}
	writeFile(t, filepath.Join(dir, "pulls-0000000000000001-20260501T120000.000000Z.jsonl"), b)
	best := time.Hour
	for range 3 {
		after := crashed(t, dir)
		start := time.Now()
		l := open(t, Options{Path: after})
		best = min(best, time.Since(start))
		closeLog(t, l)
	}
	t.Logf("open after a kill: %s", best)
	if best > 500*time.Millisecond { // an order of magnitude over what is measured, for slow machines and -race
		t.Errorf("opening took %s", best)
	}
}
