package main

import (
	"strings"
	"testing"
)

func TestSummaryCountsAndExplains(t *testing.T) {
	t.Parallel()
	const passed = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1}` + "\n"
	const skipped = `{"Action":"output","Package":"p","Test":"TestS","Output":"    a_test.go:1: SKIPPED SCENARIO: TestS: needs podman\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestS","Output":"--- SKIP: TestS (0.00s)\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestS"}` + "\n"
	const failed = `{"Action":"output","Package":"p","Test":"TestF","Output":"    a_test.go:9: got 1\n"}` + "\n" +
		`{"Action":"fail","Package":"p","Test":"TestF"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	for name, test := range map[string]struct {
		in     string
		lint   int
		strict bool
		want   string // the last line
		says   string
		status int
	}{
		"passed":              {passed, 0, true, "1 passed, 0 failed, 0 skipped", "ok", 0},
		"nothing ran":         {"", 0, false, "0 passed, 0 failed, 0 skipped", "", 1},
		"failed":              {passed + failed, 0, false, "1 passed, 1 failed, 0 skipped", "a_test.go:9: got 1", 1},
		"lint":                {passed, 1, false, "1 passed, 1 failed, 0 skipped", "gofmt or go vet", 1},
		"skipped":             {skipped + passed, 0, false, "1 passed, 0 failed, 1 skipped", "skipped: TestS: a_test.go:1: SKIPPED SCENARIO: TestS: needs podman", 0},
		"skipped under CI":    {skipped + passed, 0, true, "1 passed, 0 failed, 1 skipped", "nothing may be skipped", 1},
		"does not build":      {`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p/x.go:1: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}` + "\n" + strings.ReplaceAll(passed, `"p"`, `"q"`), 0, false, "1 passed, 1 failed, 0 skipped", "p/x.go:1: broken", 1},
		"panic without test":  {`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n" + strings.ReplaceAll(passed, `"p"`, `"q"`), 0, false, "1 passed, 1 failed, 0 skipped", "panic: test timed out", 1},
		"subtests":            {`{"Action":"pass","Package":"p","Test":"T/a"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T/b"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T"}`, 0, false, "1 passed, 1 failed, 0 skipped", "", 1},
		"parent fails itself": {`{"Action":"pass","Package":"p","Test":"T/a"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T"}`, 0, false, "1 passed, 1 failed, 0 skipped", "", 1},
		"text among JSON":     {"go: no such tool\n" + passed, 0, false, "1 passed, 0 failed, 0 skipped", "go: no such tool", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			status := run(strings.NewReader(test.in), &out, test.lint, test.strict)
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if last := lines[len(lines)-1]; last != test.want || status != test.status {
				t.Errorf("%q, status %d", last, status)
			}
			if !strings.Contains(out.String(), test.says) {
				t.Errorf("%q is not in:\n%s", test.says, out.String())
			}
		})
	}
}
