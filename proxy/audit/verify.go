package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A Report is what Verify found in a log, up to the first bad record.
type Report struct {
	Records   uint64     `json:"records"`
	Segments  int        `json:"segments"`
	First     uint64     `json:"first"` // seq
	FirstTime time.Time  `json:"firstTime"`
	LastTime  time.Time  `json:"lastTime"`
	Head      Checkpoint `json:"head"`    // the last record: keep it elsewhere, for VerifyAgainst
	Closed    bool       `json:"closed"`  // the last process ended in order; else it runs, or was killed
	Suspect   int        `json:"suspect"` // lines that were sealed after a failed write and do not count
	Torn      int        `json:"torn"`    // bytes after the last whole line, from a write in progress or a crash
}

// An Expectation is what is known about a log from elsewhere.
type Expectation struct {
	// Checkpoint must be in the log, if set: it shows that the log was not rolled back or made anew.
	Checkpoint Checkpoint
	// Pruned accepts that the oldest segments are gone.
	Pruned bool
}

// BadRecord is the first place where a log is not what was written.
type BadRecord struct {
	Seq     uint64 // of the record that is changed or missing
	File    string // base name
	Line    int    // from 1
	Problem string
}

// Error returns one line: where, which record, what is wrong.
func (b *BadRecord) Error() string {
	return fmt.Sprintf("%s:%d: record %d: %s", b.File, b.Line, b.Seq, b.Problem)
}

// Verify reads the whole log in dir and checks each record's number and hash. It may run while the log is written.
// Where a record was changed, removed, added or moved the error is a *BadRecord that names the first one; the report
// then covers what is before it. That the last records were cut off shows against the head noted beside the log.
func Verify(dir string) (Report, error) { return VerifyAgainst(dir, Expectation{}) }

// VerifyAgainst is Verify with knowledge from outside the folder, which who can write the folder cannot forge.
func VerifyAgainst(dir string, want Expectation) (Report, error) {
	head := readHead(dir) // before the segments: they only grow
	names, err := segments(dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{dir: dir, want: want, noted: head}
	for i, name := range names {
		if err := v.segment(name, names[i+1:]); err != nil {
			return v.report, err
		}
	}
	return v.report, v.finish()
}

type verifier struct {
	dir    string
	want   Expectation
	noted  Checkpoint
	report Report
	chain  chain
	file   string // of the last good record
	line   int
}

// segment checks one file. Those after it tell whether its end was sealed as suspect.
func (v *verifier) segment(name string, after []string) error {
	sealed, err := sealedFrom(v.dir, after)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(v.dir, name))
	if err != nil {
		return fmt.Errorf("verifying the audit log: %w", err)
	}
	defer f.Close()
	v.report.Segments++
	lines := newLineReader(f)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		suspect := sealed > 0 && v.chain.seq+1 >= sealed
		switch {
		case suspect && (err == nil || errors.Is(err, errTorn) || errors.Is(err, errTooLong)):
			v.report.Suspect++
		case errors.Is(err, errTorn) && len(after) == 0:
			v.report.Torn = len(line)
			return nil
		case errors.Is(err, errTorn), errors.Is(err, errTooLong):
			return v.bad(name, lines.number, err.Error())
		case err != nil:
			return fmt.Errorf("verifying %s: %w", name, err)
		default:
			if err := v.record(line, name, lines); err != nil {
				return err
			}
		}
	}
}

// sealedFrom returns the seq from which on the lines before the given segments do not count, or 0.
func sealedFrom(dir string, after []string) (uint64, error) {
	for _, name := range after {
		line, err := firstLine(dir, name)
		if err != nil {
			return 0, err
		}
		if line == nil {
			continue // sealed before it held a record
		}
		var r Record
		if json.Unmarshal(line, &r) != nil || r.Event != EventSuspect {
			return 0, nil
		}
		return r.Seq, nil
	}
	return 0, nil
}

func (v *verifier) bad(name string, line int, problem string) error {
	return &BadRecord{Seq: v.chain.seq + 1, File: name, Line: line, Problem: problem}
}

// record checks the next line and adds it to the report.
func (v *verifier) record(line []byte, name string, lines *lineReader) error {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return v.bad(name, lines.number, "the line is no record: "+err.Error())
	}
	if v.report.Records == 0 {
		if err := v.begin(r, name); err != nil {
			return err
		}
	}
	switch want := v.chain.seq + 1; {
	case r.Seq == want:
	case r.Seq == want+1:
		return v.bad(name, lines.number, fmt.Sprintf("it is missing: number %d stands in its place", r.Seq))
	case r.Seq > want:
		return v.bad(name, lines.number, fmt.Sprintf("%d to %d are missing: number %d stands in their place", want, r.Seq-1, r.Seq))
	default:
		return v.bad(name, lines.number, fmt.Sprintf("number %d stands in its place: records were moved, repeated or put in", r.Seq))
	}
	if r.Prev != string(v.chain.prev[:]) {
		return v.broken(r, name, lines.number)
	}
	v.chain = chain{seq: r.Seq, prev: hashLine(line)}
	v.file, v.line = name, lines.number
	v.report.Records++
	v.report.LastTime = r.Time
	v.report.Head = Checkpoint{Seq: r.Seq, Hash: string(v.chain.prev[:])}
	v.report.Closed = r.Event == EventClosed
	for _, known := range []Checkpoint{v.want.Checkpoint, v.noted} {
		if known.Seq == r.Seq && known.Hash != v.report.Head.Hash {
			return &BadRecord{r.Seq, name, lines.number, "it is not the record that the checkpoint " + known.String() + " was taken from"}
		}
	}
	return nil
}

// begin takes the first record of all: number 1, unless older ones may be gone.
func (v *verifier) begin(r Record, name string) error {
	v.report.First, v.report.FirstTime = r.Seq, r.Time
	v.chain = newChain()
	if r.Seq <= 1 {
		return nil
	}
	var named uint64
	if _, err := fmt.Sscanf(name, segmentPrefix+"%016d-", &named); err != nil || named != r.Seq || !v.want.Pruned {
		return v.bad(name, 1, fmt.Sprintf("it is missing: the log begins with number %d", r.Seq))
	}
	v.chain.seq = r.Seq - 1
	copy(v.chain.prev[:], r.Prev)
	return nil
}

// broken names the record to blame for a prev that is not the hash of the line before. Which of the two was changed
// cannot be told from the pair; the first is named, since all before it is known to be good.
func (v *verifier) broken(r Record, name string, line int) error {
	if v.report.Records == 0 {
		return v.bad(name, line, "it was changed: the first record's prev is not 64 zeros")
	}
	return &BadRecord{v.chain.seq, v.file, v.line, fmt.Sprintf("it was changed, or the prev of record %d was: they do not match", r.Seq)}
}

// finish checks that the end is there.
func (v *verifier) finish() error {
	for _, known := range []Checkpoint{v.noted, v.want.Checkpoint} {
		if known.Seq > v.chain.seq {
			return v.bad(v.file, v.line+1, fmt.Sprintf("it is missing, with all up to %d, which had been written: the log was cut off or rolled back", known.Seq))
		}
		if known.Seq > 0 && known.Seq < v.report.First {
			return fmt.Errorf("verifying the audit log: checkpoint %s is older than the first record, %d", known, v.report.First)
		}
	}
	return nil
}
