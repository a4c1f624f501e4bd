package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
