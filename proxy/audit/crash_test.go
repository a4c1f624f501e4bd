package audit

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writerDirEnv makes the test binary a process that records pulls until it is killed.
const writerDirEnv = "WINNOW_AUDIT_TEST_WRITER"

// writeUntilKilled records pulls from several goroutines, and prints what is durable, one word a line.
func writeUntilKilled(dir string) int {
	l, err := Open(Options{Path: dir, SegmentSize: 64 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	said := make(chan string)
	for g := range 16 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if err := l.Decided(context.Background(), pull(id, DecisionAdmit)); err != nil {
					said <- "error: " + err.Error()
				}
				said <- id
				if i%3 != 0 {
					_ = l.Append(completed(id))
				}
			}
		}()
	}
	for id := range said {
		fmt.Println(id) // unbuffered: what the parent reads was durable before
	}
	return 0
}

// TestKillLosesNoRecordThatWasAcknowledged kills a writer at seeded moments, each time in the folder that the last
// one left, and then looks whether every record it had acknowledged is there and every pull has its end.
func TestKillLosesNoRecordThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	acknowledged := map[string]bool{}
	for range 6 {
		runWriter(t, dir, time.Duration(5+rng.IntN(120))*time.Millisecond, acknowledged)
	}
	if len(acknowledged) == 0 {
		t.Fatal("no writer got to acknowledge anything")
	}
	l := open(t, Options{Path: dir})
	<-l.settled
	closeLog(t, l)
	verify(t, dir)

	completions := map[string]int{}
	interrupted := 0
	for _, r := range records(t, dir, Filter{}) {
		switch r.Event {
		case EventDecided:
			delete(acknowledged, r.ID)
			completions[r.ID] += 0
		case EventCompleted:
			completions[r.ID]++
			if r.Reason == ReasonInterrupted {
				interrupted++
			}
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged records are lost", len(acknowledged))
	}
	for id, n := range completions {
		if n != 1 {
			t.Errorf("%s has %d completions, want 1", id, n)
		}
	}
	if interrupted == 0 {
		t.Error("no pull was found to be interrupted")
	}
}

// runWriter lets a writer run for some time after its first word, kills it, and adds what it acknowledged.
func runWriter(t *testing.T, dir string, life time.Duration, acknowledged map[string]bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerDirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	words := bufio.NewScanner(out)
	for first := true; words.Scan(); first = false {
		if first {
			time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		}
		if strings.HasPrefix(words.Text(), "error") {
			t.Error(words.Text())
		}
		acknowledged[words.Text()] = true
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

// crashed returns a copy of a log's folder as a kill would leave it now.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	after := t.TempDir()
	if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return after
}

func TestInterruptedPullsAreCompletedAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir, SegmentSize: 1200})
	decide(t, l, "a", "b", "c \"quoted\"\n", "d")
	complete(t, l, "b")
	decide(t, l, "e")
	after := crashed(t, dir)

	for range 2 { // what was settled once stays so
		l := open(t, Options{Path: after})
		<-l.settled
		closeLog(t, l)
	}
	verify(t, after)
	var got []string
	for _, r := range records(t, after, Filter{Event: EventCompleted}) {
		got = append(got, r.ID+": "+r.Reason)
		if r.Requested != "docker.io/library/nginx:1.27" || r.Client.IP != "10.1.2.3" {
			t.Errorf("%s: the completion does not say of what: %+v", r.ID, r)
		}
	}
	want := []string{"b: "}
	for _, id := range []string{"a", "c \"quoted\"\n", "d", "e"} {
		want = append(want, id+": "+ReasonInterrupted)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("completions (-want +got):\n%s", diff)
	}
}

func TestACloseWithPullsInFlightIsSettledAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "left")
	closeLog(t, l)
	l = open(t, Options{Path: dir})
	<-l.settled
	closeLog(t, l)
	got := records(t, dir, Filter{Event: EventCompleted})
	if len(got) != 1 || got[0].ID != "left" || got[0].Reason != ReasonInterrupted {
		t.Errorf("completions = %+v, want one for left", got)
	}
	if closed := records(t, dir, Filter{Event: EventClosed}); closed[1].Reason != "" {
		t.Errorf("the settled log is not closed in order: %q", closed[1].Reason)
	}
}

func TestATornTailIsCutOffAndKeptAside(t *testing.T) {
	t.Parallel()
	whole := `{"seq":9,"time":"2026-05-01T11:00:00.123456Z","event":"x","id":"","prev":"` + Genesis + `"}` + "\n"
	tests := map[string]string{
		"half a line":                     whole[:60],
		"a line without its newline":      whole[:len(whole)-1],
		"a page of zeros":                 strings.Repeat("\x00", 4096),
		"zeros, then a line that is well": strings.Repeat("\x00", 512) + "\n" + whole,
		"a line with a hole":              whole[:40] + strings.Repeat("\x00", 40) + whole[80:],
		"something else":                  "no record at all\n",
		"more than the longest record":    strings.Repeat("x", 2*maxLine),
		"more than the window":            strings.Repeat("y", tailWindow+10),
	}
	for name, torn := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, Options{Path: dir})
			decide(t, l, "a", "b")
			after := crashed(t, dir)
			path := lastSegment(t, after)
			before := readFile(t, path)
			writeFile(t, path, append(before, torn...))

			l = open(t, Options{Path: after})
			decide(t, l, "c")
			closeLog(t, l)
			verify(t, after)
			if got := readFile(t, fmt.Sprintf("%s.%d.torn", path, len(before))); string(got) != torn {
				t.Errorf("kept aside: %d bytes, want the %d that were torn", len(got), len(torn))
			}
			if got := records(t, after, Filter{Event: EventRecovered}); len(got) != 1 || got[0].Seq != 4 {
				t.Errorf("recovered records = %+v, want one, fourth", got)
			}
			if got := records(t, after, Filter{Event: EventDecided}); len(got) != 3 {
				t.Errorf("%d decided records, want 3", len(got))
			}
		})
	}
}

func TestASegmentWithoutAWholeRecordGivesWayToTheOneBefore(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "torn": `{"seq":3,"ti`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, Options{Path: dir})
			decide(t, l, "a")
			after := crashed(t, dir)
			writeFile(t, after+"/pulls-0000000000000003-20990101T000000.000000Z.jsonl", []byte(content))
			l = open(t, Options{Path: after})
			decide(t, l, "b")
			closeLog(t, l)
			if report := verify(t, after); report.Segments != 1 {
				t.Errorf("%d segments, want 1", report.Segments)
			}
		})
	}
}

func TestRecordsThatVanishedBetweenRunsStayMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Path: dir})
	decide(t, l, "a", "b", "c")
	closeLog(t, l)
	path := lastSegment(t, dir)
	lines := strings.SplitAfter(string(readFile(t, path)), "\n")
	writeFile(t, path, []byte(strings.Join(lines[:2], "")))

	l = open(t, Options{Path: dir})
	decide(t, l, "d")
	closeLog(t, l)
	wantBad(t, dir, Expectation{}, 3)
	got := records(t, dir, Filter{Event: EventTruncated})
	if len(got) != 1 || !strings.Contains(got[0].Reason, "records 3 to 5") {
		t.Errorf("truncated records = %+v, want one that says 3 to 5", got)
	}
}
