package audit

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPlainStopsBeforeWhatMustBeEscaped(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for at := range 8 {
			s := strings.Repeat("a", 8+at) + string([]byte{byte(c)}) + strings.Repeat("b", 15)
			certain := c >= 0x20 && c < 0x7f && c != '"' && c != '\\'
			if n := plain(s); certain != (n > 8+at) {
				t.Errorf("byte %#x at %d: %d bytes are plain", c, 8+at, n)
			}
		}
	}
}

func TestTimesAreWrittenAsTheStandardLibraryDoes(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2026, 2, 3, 4, 5, 6, 7_000, time.FixedZone("", 3600)),
	} {
		if got, want := appendTime(nil, at), at.UTC().Format("2006-01-02T15:04:05.000000Z"); string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRecordsNobodyWaitsForAreWrittenAllTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := Open(Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(&Record{Event: EventCompleted, ID: "nobody-waits"}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(linger) {
		if err := Query(dir, Filter{}, func(r Record) error {
			if r.ID == "nobody-waits" {
				return errFound
			}
			return nil
		}); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the record is not in the log")
		}
	}
}

var errFound = errors.New("found")
