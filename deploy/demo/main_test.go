package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestDemoTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := run(&out, &errOut); code != 0 {
		t.Fatalf("exit %d: %s\n%s", code, errOut.String(), out.String())
	}
	for _, want := range []string{
		"every byte verified", "again: the registry behind was asked 0 times",
		"denied: ", "; why: http://127.0.0.1:", "what to do", "deny  no-secrets   manifest", "ok: ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not print %q", want)
		}
	}
	if strings.Contains(out.String(), strings.TrimPrefix(leaked, "AWS_ACCESS_KEY_ID=")) {
		t.Error("the demo prints the key that the refused image holds")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
