package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
	"github.com/winnow-registry/winnow/proxy/store"
)

// In scripts `winnow` is the program itself: the test binary, started again under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"winnow": main})
}

// TestScripts runs testdata/script. Each script has, besides what testscript gives:
//
//	$IMAGES                 images on disk, see writeImages
//	$REGISTRY               a registry with team/good:1, team/root:1 and team/multi:1, the default upstream of winnow.yaml
//	$GOOD, $ROOT            the digests of the first two
//	exits CODE PROGRAM …    runs a program that must end with that code
//	sarif FILE              checks a file against the schema of SARIF 2.1.0
//	tamper DIR COPY OLD NEW copies a log and replaces the first OLD of its records
//	hold DIR                keeps the store in DIR open until the script ends
func TestScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeImages(t, dir)
	writeAudit(t, filepath.Join(dir, "audit"))
	up := registry.Start(t, registry.Options{})
	good := up.Push(t, "team/good:1", images.New(t, wellMade()))
	root := up.Push(t, "team/root:1", images.New(t, images.Spec{}))
	up.Push(t, "team/multi:1", multi(t))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("IMAGES", dir)
			e.Setenv("REGISTRY", up.Addr)
			e.Setenv("GOOD", good)
			e.Setenv("ROOT", root)
			config := fmt.Sprintf("upstreams:\n  %q: {url: %q, private: true}\n  docker.io: {}\ndefaultUpstream: %q\n", up.Addr, up.URL, up.Addr)
			return os.WriteFile(filepath.Join(e.WorkDir, "winnow.yaml"), []byte(config), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sarif": validSARIF, "hold": hold, "tamper": tamper},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("running %v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func validSARIF(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sarif FILE")
	}
	f, err := os.Open(sarifSchemaFile)
	ts.Check(err)
	defer f.Close()
	schema, err := jsonschema.UnmarshalJSON(f)
	ts.Check(err)
	compiler := jsonschema.NewCompiler()
	ts.Check(compiler.AddResource("sarif.json", schema))
	compiled, err := compiler.Compile("sarif.json")
	ts.Check(err)
	got, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer got.Close()
	value, err := jsonschema.UnmarshalJSON(got)
	ts.Check(err)
	ts.Check(compiled.Validate(value))
}

// sarifSchemaFile is the schema that OASIS publishes.
const sarifSchemaFile = "testdata/sarif-schema-2.1.0.json"

func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold DIR")
	}
	s, err := store.Open(context.Background(), store.Options{Parameters: map[string]any{"rootdirectory": ts.MkAbs(args[0])}})
	ts.Check(err)
	ts.Defer(func() { _ = s.Close() })
}

func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: tamper DIR COPY OLD NEW")
	}
	to := ts.MkAbs(args[1])
	ts.Check(os.CopyFS(to, os.DirFS(args[0])))
	names, err := filepath.Glob(filepath.Join(to, "pulls-*.jsonl"))
	ts.Check(err)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		ts.Check(err)
		ts.Check(os.WriteFile(name, bytes.Replace(raw, []byte(args[2]), []byte(args[3]), 1), 0o600))
	}
}

// writeAudit writes a log as the daemon does: two pulls, one of them refused.
func writeAudit(t *testing.T, dir string) {
	t.Helper()
	log, err := audit.Open(audit.Options{Path: dir, NoSync: true})
	if err != nil {
		t.Fatalf("opening the audit log: %v", err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, decision := range []string{audit.DecisionAdmit, audit.DecisionDeny} {
		id := fmt.Sprintf("request-%d", i)
		r := audit.Record{
			Time: at.Add(time.Duration(i) * 24 * time.Hour), Event: audit.EventDecided, ID: id, Client: audit.Client{IP: fmt.Sprintf("10.0.0.%d", i+1), User: "alice"},
			Requested: fmt.Sprintf("docker.io/library/app-%d:1", i), Method: "GET", Kind: "manifest", Decision: decision,
		}
		if decision == audit.DecisionDeny {
			r.Rules, r.Status = []string{"no-root"}, 403
		}
		if err := log.Decided(t.Context(), &r); err != nil {
			t.Fatalf("recording: %v", err)
		}
		r.Event = audit.EventCompleted
		if err := log.Append(&r); err != nil {
			t.Fatalf("recording: %v", err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatalf("closing the audit log: %v", err)
	}
}
