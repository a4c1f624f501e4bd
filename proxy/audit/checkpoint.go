package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Checkpoint names a record and the hash of its line. Kept elsewhere, it shows later whether the log still is the
// one it was taken from, with nothing before it changed and nothing rolled back.
type Checkpoint struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// String returns the form that ParseCheckpoint reads: seq:hash.
func (c Checkpoint) String() string { return strconv.FormatUint(c.Seq, 10) + ":" + c.Hash }

// ParseCheckpoint reads what String wrote.
func ParseCheckpoint(s string) (Checkpoint, error) {
	seq, hash, found := strings.Cut(s, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !found || err != nil || n == 0 || !isHash(hash) {
		return Checkpoint{}, fmt.Errorf("reading checkpoint %q: want seq:hash, as `winnow audit verify` prints it", s)
	}
	return Checkpoint{Seq: n, Hash: hash}, nil
}

// isHash reports whether s looks like what hashLine returns.
func isHash(s string) bool {
	return len(s) == len(Genesis) && strings.Trim(s, hexDigits) == ""
}

const headName = "head.json"

// writeHead notes the newest record, so that a log whose end was cut off whole lines at a time is known to be short.
// It is no part of what a record's durability rests on, and is not synced while the log runs.
func writeHead(dir string, head Checkpoint, sync syncer) error {
	b, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("noting the newest audit record: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, headName+".new"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("noting the newest audit record: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, sync.data(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, headName))
	}
	if err != nil {
		return fmt.Errorf("noting the newest audit record: %w", err)
	}
	return nil
}

// readHead returns the noted head, or the zero one where there is none that can be read: a crash of the machine may
// leave it empty, and the records themselves are what counts.
func readHead(dir string) Checkpoint {
	b, err := os.ReadFile(filepath.Join(dir, headName))
	if err != nil {
		return Checkpoint{}
	}
	var c Checkpoint
	if json.Unmarshal(b, &c) != nil || !isHash(c.Hash) {
		return Checkpoint{}
	}
	return c
}
