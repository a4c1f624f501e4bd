package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoRecordIsLostToWhoeverHandlesTheFile is HC-166.
func TestNoRecordIsLostToWhoeverHandlesTheFile(t *testing.T) {
	t.Parallel()
	tests := map[string]func(path string) error{
		"unlinked":               os.Remove,
		"renamed":                func(p string) error { return os.Rename(p, p+".1") },
		"renamed, and a new one": func(p string) error { return errors.Join(os.Rename(p, p+".1"), os.WriteFile(p, nil, fileMode)) },
		"its folder removed":     func(p string) error { return os.RemoveAll(filepath.Dir(p)) },
	}
	for name, handle := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "audit")
			l := open(t, Options{Path: dir})
			decide(t, l, "a", "b")
			if err := handle(lastSegment(t, dir)); err != nil {
				t.Fatal(err)
			}
			decide(t, l, "c")
			closeLog(t, l)
			verify(t, dir)
			if got := records(t, dir, Filter{Event: EventDecided}); len(got) != 3 {
				t.Errorf("%d decided records, want 3", len(got))
			}
			if got := records(t, dir, Filter{Event: EventRestored}); len(got) != 1 {
				t.Errorf("restored records = %+v, want one", got)
			}
		})
	}
}

func TestAnIdleLogIsRestoredToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "a")
	path := lastSegment(t, dir)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the segment is back", func() bool { _, err := os.Stat(path); return err == nil })
}

func TestCopyTruncateIsNoticedAndStaysVisible(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "a", "b")
	if err := os.Truncate(lastSegment(t, dir), 0); err != nil {
		t.Fatal(err)
	}
	decide(t, l, "c")
	closeLog(t, l)
	if got := records(t, dir, Filter{Event: EventTruncated}); len(got) != 1 {
		t.Errorf("truncated records = %+v, want one", got)
	}
	_, err := Verify(dir)
	var bad *BadRecord
	if !errors.As(err, &bad) || bad.Seq != 1 {
		t.Errorf("error = %v, want record 1 to be missing", err)
	}
}

func TestLinesOfAnotherWriterDoNotCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "a", "b")
	path := lastSegment(t, dir)
	forged := strings.Replace(string(readFile(t, path)), `"seq":3,`, `"seq":4,`, 1)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(forged[strings.LastIndex(forged, `{"seq"`):] + "half"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	decide(t, l, "c")
	closeLog(t, l)
	if report := verify(t, dir); report.Suspect != 2 || report.Records != 6 {
		t.Errorf("report = %+v, want 6 records and 2 suspect lines", report)
	}
	if got := records(t, dir, Filter{Event: EventDecided}); len(got) != 3 {
		t.Errorf("%d decided records, want 3", len(got))
	}
}
