package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func wantBad(t *testing.T, dir string, want Expectation, seq uint64) {
	t.Helper()
	report, err := VerifyAgainst(dir, want)
	var bad *BadRecord
	if !errors.As(err, &bad) || bad.Seq != seq {
		t.Errorf("error = %v, want record %d to be bad", err, seq)
		return
	}
	if report.Head.Seq >= seq && !strings.Contains(bad.Problem, "changed") && !strings.Contains(bad.Problem, "checkpoint") {
		t.Errorf("the report goes to %d, past the bad record %d", report.Head.Seq, seq)
	}
	if bad.File == "" || bad.Line < 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error does not say where on one line: %v", err)
	}
}

// written returns a closed log of three segments with records 1 to 14, and the paths of the segments.
func written(t *testing.T) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, Options{Path: dir, SegmentSize: 2200})
	decide(t, l, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")
	closeLog(t, l)
	names, err := segments(dir)
	if err != nil || len(names) != 3 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	if report := verify(t, dir); report.Records != 14 {
		t.Fatalf("%d records, want 14", report.Records)
	}
	return dir, paths
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	t.Parallel()
	type lines = []string
	tests := []struct {
		name string
		edit func(lines) lines // of the second segment, records 6 to 10
		bad  uint64
	}{
		{"a field is edited", func(l lines) lines { l[1] = strings.Replace(l[1], "admit", "deny", 1); return l }, 7},
		{"a field of the segment's last record is edited", func(l lines) lines { l[4] = strings.Replace(l[4], "ci", "cj", 1); return l }, 10},
		{"a space is added", func(l lines) lines { l[2] = strings.Replace(l[2], ",", ", ", 1); return l }, 8},
		{"a number is edited", func(l lines) lines { l[2] = strings.Replace(l[2], `"seq":8`, `"seq":80`, 1); return l }, 8},
		{"a record is deleted", func(l lines) lines { return append(l[:2], l[3:]...) }, 8},
		{"the segment's first record is deleted", func(l lines) lines { return l[1:] }, 6},
		{"the segment's last record is deleted", func(l lines) lines { return l[:4] }, 10},
		{"two records are swapped", func(l lines) lines { l[1], l[2] = l[2], l[1]; return l }, 7},
		{"a record is repeated", func(l lines) lines { l[2] = l[1]; return l }, 8},
		{"a record is put in", func(l lines) lines { l[0] += l[0]; return l }, 7},
		{"the segment is cut in a record", func(l lines) lines { l[4] = l[4][:100]; return l }, 10},
		{"the segment is emptied", func(lines) lines { return nil }, 6},
		{"a line is no record", func(l lines) lines { l[3] = "{}x\n"; return l }, 9},
		{"a line is too long", func(l lines) lines { l[3] = strings.Repeat("x", 2*maxLine) + "\n"; return l }, 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, paths := written(t)
			l := strings.SplitAfter(strings.TrimSuffix(string(readFile(t, paths[1])), "\n"), "\n")
			l[len(l)-1] += "\n"
			if len(l) != 5 {
				t.Fatalf("%d lines in the second segment, want 5", len(l))
			}
			writeFile(t, paths[1], []byte(strings.Join(tt.edit(l), "")))
			wantBad(t, dir, Expectation{}, tt.bad)
		})
	}
}

func TestVerifyFindsWhatHappenedToFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(paths []string) error
		bad  uint64
	}{
		{"a segment in the middle is removed", func(p []string) error { return os.Remove(p[1]) }, 6},
		{"the first segment is removed", func(p []string) error { return os.Remove(p[0]) }, 1},
		{"the last segment is removed", func(p []string) error { return os.Remove(p[2]) }, 11},
		{"two segments are swapped", func(p []string) error {
			return errors.Join(os.Rename(p[0], p[0]+"x"), os.Rename(p[1], p[0]), os.Rename(p[0]+"x", p[1]))
		}, 1},
		{"the end is cut off by whole records", func(p []string) error {
			b, err := os.ReadFile(p[2])
			lines := strings.SplitAfter(string(b), "\n")
			return errors.Join(err, os.WriteFile(p[2], []byte(strings.Join(lines[:2], "")), fileMode))
		}, 13},
		{"the end is cut off in a record", func(p []string) error {
			info, err := os.Stat(p[2])
			return errors.Join(err, os.Truncate(p[2], info.Size()-10))
		}, 14},
		{"the very last record is edited", func(p []string) error {
			b, err := os.ReadFile(p[2])
			i := strings.LastIndex(string(b), `"millis":0`)
			b[i+9] = '1'
			return errors.Join(err, os.WriteFile(p[2], b, fileMode))
		}, 14},
		{"everything is removed", func(p []string) error {
			return errors.Join(os.Remove(p[0]), os.Remove(p[1]), os.Remove(p[2]))
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, paths := written(t)
			if err := tt.do(paths); err != nil {
				t.Fatal(err)
			}
			_, err := Verify(dir)
			var bad *BadRecord
			if !errors.As(err, &bad) || bad.Seq != tt.bad {
				t.Errorf("error = %v, want record %d to be bad", err, tt.bad)
			}
		})
	}
}

func TestACheckpointFromElsewhereShowsARollBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "a")
	complete(t, l, "a")
	closeLog(t, l)
	backup := crashed(t, dir)
	l = open(t, Options{Path: dir})
	decide(t, l, "b")
	complete(t, l, "b")
	closeLog(t, l)
	kept := verify(t, dir).Head

	if _, err := VerifyAgainst(dir, Expectation{Checkpoint: kept}); err != nil {
		t.Errorf("the log it was taken from: %v", err)
	}
	wantBad(t, backup, Expectation{Checkpoint: kept}, 5)

	l = open(t, Options{Path: backup}) // the restored one goes on, as another log
	decide(t, l, "c")
	complete(t, l, "c")
	closeLog(t, l)
	verify(t, backup)
	wantBad(t, backup, Expectation{Checkpoint: kept}, kept.Seq)
}

func TestACheckpointIsReadBack(t *testing.T) {
	t.Parallel()
	c := Checkpoint{Seq: 12, Hash: strings.Repeat("ab", 32)}
	if got, err := ParseCheckpoint(c.String()); err != nil || got != c {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "12", "12:", ":ab", "x:" + c.Hash, "0:" + c.Hash, "12:" + c.Hash + "0", "12:" + strings.ToUpper(c.Hash), "-1:" + c.Hash} {
		if _, err := ParseCheckpoint(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestVerifyAndQueryReadALogThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir, SegmentSize: 4 << 10})
	stop := make(chan struct{})
	written := make(chan struct{})
	go func() {
		defer close(written)
		for {
			select {
			case <-stop:
				return
			default:
				_ = l.Append(pull("x", DecisionAdmit))
			}
		}
	}()
	for range 10 {
		verify(t, dir)
		records(t, dir, Filter{ID: "none"})
	}
	close(stop)
	<-written
	report := verify(t, dir)
	if report.Closed || report.Records == 0 {
		t.Errorf("report = %+v, want an open log with records", report)
	}
}
