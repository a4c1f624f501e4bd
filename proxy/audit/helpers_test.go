package audit

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDirEnv); dir != "" {
		os.Exit(writeUntilKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

func pull(id, decision string) *Record {
	return &Record{
		Event: EventDecided, ID: id, Client: Client{IP: "10.1.2.3", User: "ci", Agent: "docker/29.0"},
		Requested: "docker.io/library/nginx:1.27", Method: "GET", Kind: "manifest",
		Digest:   Digest{Resolved: "sha256:aa", Served: "sha256:aa"},
		Decision: decision, Rules: []string{"no-root"}, Policy: "sha256:01", Status: 200,
	}
}

func completed(id string) *Record {
	r := pull(id, DecisionAdmit)
	r.Event, r.Bytes, r.Millis = EventCompleted, 4096, 12
	return r
}

func open(t *testing.T, opts Options) *Log {
	t.Helper()
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a second Close returns what the first did
	return l
}

func closeLog(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("closing the log: %v", err)
	}
}

func decide(t *testing.T, l *Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := l.Decided(t.Context(), pull(id, DecisionAdmit)); err != nil {
			t.Fatalf("recording %s: %v", id, err)
		}
	}
}

func complete(t *testing.T, l *Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := l.Append(completed(id)); err != nil {
			t.Fatalf("completing %s: %v", id, err)
		}
	}
}

func records(t *testing.T, dir string, f Filter) []Record {
	t.Helper()
	var out []Record
	if err := Query(dir, f, func(r Record) error { out = append(out, r); return nil }); err != nil {
		t.Fatalf("querying: %v", err)
	}
	return out
}

func verify(t *testing.T, dir string) Report {
	t.Helper()
	report, err := Verify(dir)
	if err != nil {
		t.Fatalf("verifying: %v", err)
	}
	return report
}

// lastSegment returns the path of the newest segment.
func lastSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	return filepath.Join(dir, names[len(names)-1])
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, fileMode); err != nil {
		t.Fatal(err)
	}
}
