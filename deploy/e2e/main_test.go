package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

const (
	hub  = "docker.io"     // the upstream behind a token server
	corp = "registry.corp" // the upstream behind a password
)

// secret is refused wherever it stands: the form of an AWS access key, which Amazon's own documentation uses.
const secret = "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLQ"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program once for all scenarios.
func run(m *testing.M) int {
	if os.Getenv(winnow.BinaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "wt-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "winnow")
	build := exec.Command("go", "build", "-o", program, "github.com/winnow-registry/winnow/cmd/winnow")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building winnow: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(winnow.BinaryVariable, program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// well is an image that complies, without a Debian root.
func well(seed uint64, sizes ...int) images.Spec {
	return images.Spec{User: images.NonRoot, Seed: seed, Data: sizes}
}

// oneUpstream starts an open upstream and the program in front of it.
func oneUpstream(t *testing.T, o winnow.Options) (*registry.Registry, *winnow.Winnow) {
	t.Helper()
	r := registry.Start(t, registry.Options{})
	o.Upstreams = winnow.Map{hub: winnow.Upstream(t, r, registry.Open)}
	return r, winnow.Start(t, o)
}

// layerDigests returns the digests of an image's layers.
func layerDigests(t *testing.T, image v1.Image) []string {
	t.Helper()
	_, _, layers := images.Digests(t, image)
	return layers
}

// noneFetched fails the test when the upstream sent the content of any of the digests.
func noneFetched(t *testing.T, r *registry.Registry, digests []string) {
	t.Helper()
	for _, q := range r.Served() {
		if q.Method == http.MethodGet && slices.Contains(digests, q.Reference) {
			t.Errorf("the upstream sent %s %s to the proxy", q.Kind, q.Reference)
		}
	}
}

// refusal returns the one error of a refusal's body.
func refusal(t *testing.T, body []byte) (code, message string) {
	t.Helper()
	var answer struct {
		Errors []map[string]any `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Errors) != 1 {
		t.Fatalf("the body of a refusal is %q", body)
	}
	if _, has := answer.Errors[0]["detail"]; has {
		t.Errorf("the refusal has a detail: %s", body)
	}
	code, _ = answer.Errors[0]["code"].(string)
	message, _ = answer.Errors[0]["message"].(string)
	return code, message
}

// names fails the test unless text says which rule refused the image, and where that is explained.
func names(t *testing.T, text, rule string, w *winnow.Winnow) {
	t.Helper()
	for _, want := range []string{rule + ": ", "; why: " + w.URL + "/why/"} {
		if !strings.Contains(text, want) {
			t.Errorf("the refusal does not contain %q: %s", want, text)
		}
	}
}

// auditIsWhole runs `winnow audit verify`.
func auditIsWhole(t *testing.T, w *winnow.Winnow) {
	t.Helper()
	if out, code := w.Run(t, "audit", "verify"); code != 0 {
		t.Errorf("winnow audit verify: exit %d: %s", code, out)
	}
}
