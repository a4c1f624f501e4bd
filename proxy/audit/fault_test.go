package audit

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// eventually waits for what the writer does in its own time, at most a few rounds of its upkeep.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * upkeep); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestAFailedSyncSealsTheSegment is HC-161: what the failed sync was to cover is neither acknowledged nor counted,
// and the segment is never written again.
func TestAFailedSyncSealsTheSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var failing atomic.Bool
	var sealed atomic.Pointer[string]
	l := open(t, Options{Path: dir, syncFile: func(f *os.File) error {
		name := f.Name()
		if failing.CompareAndSwap(true, false) {
			sealed.Store(&name)
			return unix.EIO
		}
		if s := sealed.Load(); s != nil && *s == name {
			t.Errorf("%s was synced again", name)
		}
		return f.Sync()
	}})
	decide(t, l, "a")
	failing.Store(true)
	if err := l.Decided(t.Context(), pull("lost", DecisionAdmit)); !errors.Is(err, unix.EIO) {
		t.Fatalf("error = %v, want the fault", err)
	}
	eventually(t, "it resumes by itself", func() bool { return l.Err() == nil })
	decide(t, l, "b")
	closeLog(t, l)
	if report := verify(t, dir); report.Segments != 2 {
		t.Errorf("%d segments, want 2", report.Segments)
	}
	if got := records(t, dir, Filter{Event: EventSuspect}); len(got) != 1 || !strings.Contains(got[0].Reason, "input/output error") {
		t.Errorf("suspect records = %+v, want one that says why", got)
	}
	if got := records(t, dir, Filter{ID: "lost"}); len(got) != 0 {
		t.Errorf("a record that was not acknowledged counts: %+v", got)
	}
}

// TestALongFaultKeepsCompletionsWithinABound fails every sync, until nothing more can be kept.
func TestALongFaultKeepsCompletionsWithinABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var failing atomic.Bool
		l := open(t, Options{Path: dir, syncFile: func(f *os.File) error {
			if failing.Load() {
				return unix.EIO
			}
			return f.Sync()
		}})
		decide(t, l, "a")
		failing.Store(true)
		_ = l.Decided(t.Context(), pull("lost", DecisionAdmit))
		kept := 0
		var err error
		for ; err == nil && kept < 10_000; kept++ {
			err = l.Append(completed(fmt.Sprint("kept", kept)))
			synctest.Wait()
		}
		var unavailable *Unavailable
		if !errors.As(err, &unavailable) || kept < 1000 {
			t.Fatalf("after %d completions: %v; want an end in the thousands", kept, err)
		}
		failing.Store(false)
		time.Sleep(2 * upkeep)
		decide(t, l, "b")
		closeLog(t, l)
		verify(t, dir)
		if got := records(t, dir, Filter{Event: EventCompleted}); len(got) != kept-1 {
			t.Errorf("%d completions, want the %d that were taken", len(got), kept-1)
		}
	})
}

// TestClockJumpsAreRecorded is HC-167: the order of the records does not follow the clock, and the log says why.
func TestClockJumpsAreRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var ahead atomic.Int64
		l := open(t, Options{Path: dir, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		for _, jump := range []time.Duration{0, 20 * time.Second, -time.Hour, 0, 365 * 24 * time.Hour} {
			ahead.Add(int64(jump))
			time.Sleep(2 * upkeep)
			decide(t, l, jump.String())
		}
		closeLog(t, l)
		verify(t, dir)
		var got []string
		for _, r := range records(t, dir, Filter{Event: EventClockMoved}) {
			got = append(got, r.Reason)
		}
		want := []string{"the wall clock moved by -1h0m0s", "the wall clock moved by 8760h0m0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
}
