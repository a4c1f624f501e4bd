package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestRecordsFormOneChainOverRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 3 {
		l := open(t, Options{Path: dir, Version: "test"})
		id := fmt.Sprint("run", run)
		decide(t, l, id)
		complete(t, l, id)
		closeLog(t, l)
	}
	report := verify(t, dir)
	if report.Records != 12 || report.Head.Seq != 12 || !report.Closed || report.Segments != 1 {
		t.Errorf("report = %+v, want 12 records in one closed segment", report)
	}
	var events []string
	for _, r := range records(t, dir, Filter{}) {
		events = append(events, r.Event)
	}
	run := []string{EventOpened, EventDecided, EventCompleted, EventClosed}
	if diff := cmp.Diff(append(append(run, run...), run...), events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestALineHasTheFieldsOfTheContractInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	l := open(t, Options{Path: dir, now: func() time.Time { return now }})
	r := pull("r1", DecisionSlim)
	r.Digest.Served, r.Exemptions, r.Epoch, r.Cached, r.Stale = "sha256:bb", []string{"legacy"}, "e1", true, true
	r.Bytes, r.Millis, r.Reason = 7, 8, "slimmed"
	if err := l.Decided(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	lines := strings.Split(string(readFile(t, lastSegment(t, dir))), "\n")
	prev := hashLine([]byte(lines[0]))
	want := `{"seq":2,"time":"2026-05-01T11:00:00.123456Z","event":"pull.decided","id":"r1",` +
		`"client":{"ip":"10.1.2.3","user":"ci","agent":"docker/29.0"},"requested":"docker.io/library/nginx:1.27",` +
		`"method":"GET","kind":"manifest","digest":{"resolved":"sha256:aa","served":"sha256:bb"},"decision":"slim",` +
		`"rules":["no-root"],"exemptions":["legacy"],"policy":"sha256:01","epoch":"e1","cached":true,"stale":true,` +
		`"status":200,"bytes":7,"millis":8,"reason":"slimmed","prev":"` + string(prev[:]) + `"}`
	if diff := cmp.Diff(want, lines[1]); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(lines[0], `"prev":"`+Genesis+`"}`) {
		t.Errorf("the first line does not begin a chain: %s", lines[0])
	}
}

// TestDecidedReturnsAfterTheFsync takes the file's content at the moment each call returns.
func TestDecidedReturnsAfterTheFsync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	var synced []byte // what the last completed sync covered
	l := open(t, Options{Path: dir, syncFile: func(f *os.File) error {
		err := f.Sync()
		if strings.HasPrefix(filepath.Base(f.Name()), segmentPrefix) {
			mu.Lock()
			defer mu.Unlock()
			synced, _ = os.ReadFile(f.Name())
		}
		return err
	}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("g%d-%d", g, i)
				if err := l.Decided(t.Context(), pull(id, DecisionAdmit)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				found := bytes.Contains(synced, []byte(`"id":"`+id+`"`))
				mu.Unlock()
				if !found {
					t.Errorf("%s: Decided returned before its sync", id)
				}
			}
		})
	}
	wg.Wait()
}

func TestConcurrentCallersKeepTheirOrderAndLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	l := open(t, Options{Path: dir, SegmentSize: 32 << 10, Registerer: reg})
	const callers, each = 32, 40
	var wg sync.WaitGroup
	for g := range callers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d/%d", g, i)
				if err := l.Decided(t.Context(), pull(id, DecisionDeny)); err != nil {
					t.Error(err)
				}
				if err := l.Append(completed(id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	report := verify(t, dir)
	if want := uint64(2*callers*each + 2); report.Records != want || report.Segments < 5 {
		t.Errorf("%d records in %d segments, want %d in several", report.Records, report.Segments, want)
	}
	seen := map[string]string{}
	for _, r := range records(t, dir, Filter{Client: "ci"}) {
		if r.Event == EventCompleted && seen[r.ID] != EventDecided {
			t.Errorf("%s completed before it was decided", r.ID)
		}
		seen[r.ID] = r.Event
	}
	if len(seen) != callers*each {
		t.Errorf("%d ids, want %d", len(seen), callers*each)
	}
}

func TestSegmentsRotateBySizeAndByDay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	now := time.Date(2026, 5, 1, 23, 59, 0, 0, time.UTC)
	l := open(t, Options{Path: dir, SegmentSize: 1500, now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	decide(t, l, "a", "b", "c", "d")
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	decide(t, l, "e")
	closeLog(t, l)
	names, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"pulls-0000000000000001-20260501T235900.000000Z.jsonl",
		"pulls-0000000000000005-20260501T235900.000000Z.jsonl",
		"pulls-0000000000000006-20260502T000100.000000Z.jsonl",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
	verify(t, dir)
}

func TestASecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, Options{Path: dir})
	_, err := Open(Options{Path: dir})
	if want := fmt.Sprintf("in use by process %d; stop it", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

func TestAFolderThatIsAFileFailsTheStartWithOneLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	writeFile(t, path, nil)
	_, err := Open(Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "audit.path") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %v, want one line that names audit.path", err)
	}
}

func TestAClosedLogRefusesContentWithStatus503(t *testing.T) {
	t.Parallel()
	l := open(t, Options{Path: t.TempDir()})
	closeLog(t, l)
	err := l.Decided(t.Context(), pull("late", DecisionAdmit))
	var status interface {
		StatusCode() int
		RetryAfter() time.Duration
		Reason() string
	}
	if !errors.As(err, &status) || status.StatusCode() != 503 || status.RetryAfter() <= 0 || status.Reason() != "audit_unavailable" {
		t.Errorf("error = %#v, want a 503", err)
	}
}

func TestAPruneOfOldSegmentsIsOnlyAcceptedWhenSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir, SegmentSize: 1})
	decide(t, l, "a", "b", "c")
	closeLog(t, l)
	names, _ := segments(dir)
	if err := os.Remove(filepath.Join(dir, names[0])); err != nil {
		t.Fatal(err)
	}
	var bad *BadRecord
	if _, err := Verify(dir); !errors.As(err, &bad) || bad.Seq != 1 {
		t.Errorf("error = %v, want record 1 to be missing", err)
	}
	if report, err := VerifyAgainst(dir, Expectation{Pruned: true}); err != nil || report.First != 2 {
		t.Errorf("pruned: %+v, %v", report, err)
	}
}

func TestTheRecordIsTheCallersAgainAfterTheCall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	r := pull("first", DecisionAdmit)
	if err := l.Append(r); err != nil {
		t.Fatal(err)
	}
	if !r.Time.IsZero() {
		t.Error("Append changed its argument")
	}
	r.ID = "second"
	if err := l.Decided(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	got := records(t, dir, Filter{Event: EventDecided})
	if len(got) != 2 || got[0].ID != "first" || got[1].ID != "second" {
		b, _ := json.Marshal(got)
		t.Errorf("records = %s", b)
	}
}
