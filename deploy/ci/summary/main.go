// Command summary reads the output of `go test -json` and prints what a person wants of it: each package's result as it comes,
// the output of what failed, why tests were skipped, and as the last line "N passed, N failed, N skipped".
//
// It exits 1 when anything failed, when no test ran, and under CI=true when a test was skipped. Subtests count one by one, the
// test around them does not; a package that fails without a failing test (it does not build, it panics, it runs out of time)
// counts as one failure.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxLine bounds one line of JSON: go test splits the output of tests into lines, none of ours is longer.
const maxLine = 8 << 20

// event is one line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// tally is what was seen so far.
type tally struct {
	out     io.Writer
	results map[string]string           // "package test" -> pass, fail or skip
	output  map[string]*strings.Builder // the same, and the package alone, until its result is known
	parents map[string]bool
	skips   []string
	broken  int // packages that failed without a failing test
	failed  map[string]bool
}

func main() {
	lint := flag.Int("lint", 0, "1 counts as a failure: gofmt or vet complained")
	flag.Parse()
	os.Exit(run(os.Stdin, os.Stdout, *lint, os.Getenv("CI") == "true"))
}

func run(in io.Reader, out io.Writer, lint int, strict bool) int {
	t := &tally{
		out: out, results: map[string]string{}, output: map[string]*strings.Builder{},
		parents: map[string]bool{}, failed: map[string]bool{},
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go itself, not a test
			continue
		}
		t.add(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(out, "summary: reading the test output:", err)
		t.broken++
	}
	return t.report(lint, strict)
}

func (t *tally) add(e event) {
	key := e.Package + e.ImportPath
	if e.Test != "" {
		key += " " + e.Test
	}
	switch e.Action {
	case "output", "build-output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
			return
		}
		t.results[key] = e.Action
		if i := strings.LastIndex(e.Test, "/"); i > 0 {
			t.parents[e.Package+" "+e.Test[:i]] = true
		}
		t.endTest(e, key)
	}
}

func (t *tally) endTest(e event, key string) {
	text := ""
	if b := t.output[key]; b != nil {
		text = b.String()
	}
	delete(t.output, key)
	switch e.Action {
	case "fail":
		t.failed[e.Package] = true
		fmt.Fprint(t.out, text)
	case "skip":
		t.skips = append(t.skips, fmt.Sprintf("%s: %s", e.Test, reason(text)))
	}
}

func (t *tally) endPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok    %7.1fs  %s\n", e.Elapsed, e.Package)
	case "fail":
		if !t.failed[e.Package] {
			t.broken++
		}
		// A panic or a timeout is told in the output of the test it struck, which has no result.
		for _, key := range slices.Sorted(maps.Keys(t.output)) {
			if key == e.FailedBuild || key == e.Package || strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(t.out, t.output[key].String())
			}
		}
		fmt.Fprintf(t.out, "FAIL  %7.1fs  %s\n", e.Elapsed, e.Package)
	}
	delete(t.output, e.Package)
}

// reason takes the last line that a skipped test printed itself.
func reason(output string) string {
	last := "no reason given"
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			last = line
		}
	}
	return last
}

func (t *tally) report(lint int, strict bool) int {
	counts := map[string]int{"fail": t.broken + lint}
	for key, result := range t.results {
		if !t.parents[key] {
			counts[result]++
		}
	}
	// A test may fail of itself although its subtests pass.
	for key := range t.parents {
		if t.results[key] == "fail" && !t.childFailed(key) {
			counts["fail"]++
		}
	}
	slices.Sort(t.skips)
	for _, s := range t.skips {
		fmt.Fprintln(t.out, "skipped:", s)
	}
	if lint != 0 {
		fmt.Fprintln(t.out, "failed: gofmt or go vet, see above")
	}
	bad := counts["fail"] > 0 || counts["pass"] == 0
	if strict && counts["skip"] > 0 {
		fmt.Fprintln(t.out, "failed: under CI=true nothing may be skipped")
		bad = true
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	if bad {
		return 1
	}
	return 0
}

func (t *tally) childFailed(parent string) bool {
	for key, result := range t.results {
		if result == "fail" && strings.HasPrefix(key, parent+"/") {
			return true
		}
	}
	return false
}
