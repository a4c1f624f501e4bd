package audit

import (
	"fmt"
	"strings"
	"testing"
)

// TestASealedSegmentEndsWhereTheNextOneSays leaves lines in a segment whose sync failed, as a disk does that could
// not take them back, and an empty segment after it from a second failure.
func TestASealedSegmentEndsWhereTheNextOneSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newChain()
	add := func(event, id string) string {
		return string(c.append(nil, appendBody(nil, &Record{Event: event, ID: id})))
	}
	segment := func(seq int, content string) {
		writeFile(t, fmt.Sprintf("%s/pulls-%016d-20260501T12000%d.000000Z.jsonl", dir, seq, strings.Count(content, "\n")), []byte(content))
	}
	good := add(EventOpened, "") + add(EventDecided, "good")
	durable := c
	segment(1, good+add(EventDecided, "in doubt")+"half a li")
	c = durable
	segment(3, "")
	segment(3, add(EventSuspect, "")+add(EventDecided, "again"))

	report := verify(t, dir)
	if report.Records != 4 || report.Suspect != 2 || report.Segments != 3 {
		t.Errorf("report = %+v, want 4 records and 2 suspect lines in 3 segments", report)
	}
	var got []string
	for _, r := range records(t, dir, Filter{Event: EventDecided}) {
		got = append(got, r.ID)
	}
	if strings.Join(got, " ") != "good again" {
		t.Errorf("records = %v, want good and again", got)
	}
}
