package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// smallDisk mounts a filesystem of its own, which only root may do.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a disk that gets full needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// fill takes all space that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !diskFull(err) {
		t.Fatal(err)
	}
}

// TestAFullDiskRefusesContentAndRecordsRefusals is HC-160 and FM-29: the whole course of a full disk.
func TestAFullDiskRefusesContentAndRecordsRefusals(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 3<<20)
	dir, junk := filepath.Join(disk, "audit"), filepath.Join(disk, "junk")
	l := open(t, Options{Path: dir})
	decide(t, l, "before")

	fill(t, junk)
	refused := error(nil)
	for i := 0; refused == nil && i < 100; i++ { // the segment's last page has some room
		refused = l.Decided(t.Context(), pull(fmt.Sprint("admit", i), DecisionAdmit))
	}
	var unavailable *Unavailable
	if !errors.As(refused, &unavailable) || !errors.Is(refused, unix.ENOSPC) || unavailable.StatusCode() != 503 {
		t.Fatalf("error = %v, want a 503 for want of space", refused)
	}
	if !errors.Is(l.Err(), unix.ENOSPC) {
		t.Errorf("Err = %v, want why", l.Err())
	}
	if err := l.Decided(t.Context(), pull("denied", DecisionDeny)); err != nil {
		t.Errorf("a refusal: %v", err)
	}
	complete(t, l, "before")
	eventually(t, "refusals are recorded in the reserve", func() bool {
		return len(records(t, dir, Filter{ID: "denied"})) == 1 && len(records(t, dir, Filter{ID: "before", Event: EventCompleted})) == 1
	})

	fill(t, junk)
	for i := range 3000 {
		if err := l.Decided(t.Context(), pull(fmt.Sprint("deny", i), DecisionDeny)); err != nil {
			t.Fatalf("refusal %d: %v", i, err)
		}
	}
	if err := l.Append(completed("kept")); err != nil {
		t.Errorf("a completion: %v", err)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it resumes by itself", func() bool { return l.Err() == nil })
	decide(t, l, "after")
	closeLog(t, l)

	verify(t, dir)
	resumed := records(t, dir, Filter{Event: EventResumed})
	if len(resumed) != 1 || strings.Contains(resumed[0].Reason, " 0 refusals") {
		t.Errorf("resumed records = %+v, want one that counts refusals", resumed)
	}
	if n := len(records(t, dir, Filter{ID: "kept"})); n != 1 {
		t.Errorf("the completion that waited is there %d times, want 1", n)
	}
	for _, r := range records(t, dir, Filter{Decision: DecisionAdmit, Event: EventDecided}) {
		if r.ID != "before" && r.ID != "after" && !strings.HasPrefix(r.ID, "admit") {
			t.Errorf("unexpected record %s", r.ID)
		}
	}
}

func TestAStartOnAFullDiskWaitsForSpace(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 2<<20)
	dir, junk := filepath.Join(disk, "audit"), filepath.Join(disk, "junk")
	fill(t, junk)
	if err := os.Truncate(junk, 2<<20-64<<10); err != nil { // room for the folder, not for the reserve
		t.Fatal(err)
	}
	l := open(t, Options{Path: dir})
	if err := l.Decided(t.Context(), pull("early", DecisionAdmit)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error = %v, want no space", err)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it resumes by itself", func() bool { return l.Err() == nil })
	decide(t, l, "late")
	closeLog(t, l)
	verify(t, dir)
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
