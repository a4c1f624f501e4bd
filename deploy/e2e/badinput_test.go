package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

// refusesToStart runs the program and fails the test unless it ends by itself with one line that contains every word.
func refusesToStart(t *testing.T, w *winnow.Winnow, words ...string) {
	t.Helper()
	w.Launch(t)
	select {
	case <-w.Process.Done():
	case <-time.After(10 * time.Second):
		t.Fatalf("it started: %s", w.Process.Output())
	}
	if w.Process.Err() == nil {
		t.Error("it ended with exit code 0")
	}
	var said []string
	for line := range strings.Lines(w.Process.Output()) {
		if !strings.HasPrefix(line, "{") { // the log; what is wrong with the start is for people
			said = append(said, strings.TrimSpace(line))
		}
	}
	text := strings.Join(said, "\n")
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("it does not say %q: %s", word, text)
		}
	}
	if len(said) != 1 {
		t.Errorf("it says %d lines: %s", len(said), text)
	}
}

// somewhere is an upstream that no test here reaches.
func somewhere(t *testing.T) winnow.Map {
	t.Helper()
	return winnow.Map{hub: winnow.Map{"url": registry.Unreachable(t), "private": true}}
}

func TestBadConfigurationIsNamedByFileAndLine(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		text  string
		words []string
	}{
		"unknown key":       {"listen:\n  registri: 127.0.0.1:0\n", []string{"winnow.yaml:2:", "registri", "registry"}},
		"duplicate key":     {"log: {level: info}\nlog: {level: debug}\n", []string{"winnow.yaml:2:", "log"}},
		"wrong type":        {"tags:\n  ttl: [1]\n", []string{"winnow.yaml:2:", "ttl"}},
		"not YAML":          {"listen: [\n", []string{"winnow.yaml:"}},
		"plain http":        {"upstreams:\n  a.example: {url: http://a.example}\n", []string{"winnow.yaml:2:", "private"}},
		"insecure":          {"upstreams:\n  a.example: {insecure: true}\n", []string{"winnow.yaml:2:", "insecure"}},
		"no such upstream":  {"defaultUpstream: b.example\n", []string{"winnow.yaml:1:", "b.example"}},
		"redis without key": {"cache: {redis: {addresses: [\"127.0.0.1:1\"]}}\n", []string{"macKeyFile", "openssl rand"}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := winnow.Prepare(t, winnow.Options{Upstreams: somewhere(t)})
			w.Write(t, "winnow.yaml", c.text)
			refusesToStart(t, w, c.words...)
		})
	}
}

func TestBadPolicyRefusesTheStart(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		policy string
		words  []string
	}{
		"unknown rule":   {strings.Replace(winnow.Policy, "config.non-root", "config.nonroot", 1), []string{"policy.yaml:7:", "config.nonroot", "config.non-root"}},
		"unknown action": {strings.Replace(winnow.Policy, "action: deny", "action: refuse", 1), []string{"policy.yaml:7:", "refuse", "deny"}},
		"not a policy":   {"hello\n", []string{"policy.yaml:1:"}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			refusesToStart(t, winnow.Prepare(t, winnow.Options{Upstreams: somewhere(t), Policy: c.policy}), c.words...)
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		w := winnow.Prepare(t, winnow.Options{Upstreams: somewhere(t)})
		if err := os.Remove(w.Path("policy.yaml")); err != nil {
			t.Fatal(err)
		}
		refusesToStart(t, w, "policy.yaml", "policy.paths")
	})
}

func TestReloadKeepsThePolicyThatWorks(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: longTTL})
	upstream.Push(t, "team/app:bad", images.New(t, images.Spec{Env: []string{secret}, User: images.NonRoot}))
	path := "/v2/docker.io/team/app/manifests/bad"
	if status, _, _ := w.Get(t, http.MethodGet, path); status != http.StatusForbidden {
		t.Fatalf("the image is answered with %d", status)
	}

	w.Write(t, "policy.yaml", "kind: Policy\nnonsense: true\n")
	w.Reload(t)
	said(t, w, "policy.yaml:")
	if status, _, body := w.Get(t, http.MethodGet, path); status != http.StatusForbidden {
		t.Errorf("after a reload that failed: %d %s", status, body)
	}
	if err := w.Ready(); err != nil {
		t.Errorf("after a reload that failed: %v", err)
	}

	w.Write(t, "policy.yaml", warnOnly)
	w.Reload(t)
	eventually(t, "the new policy is in force", func() error {
		if status, _, body := w.Get(t, http.MethodGet, path); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})

	w.Write(t, "policy.yaml", winnow.Policy) // and tighter again: what was admitted is refused at once
	w.Reload(t)
	eventually(t, "the old policy is in force again", func() error {
		if status, _, body := w.Get(t, http.MethodGet, path); status != http.StatusForbidden {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	reloads := 0
	for _, r := range w.Audit(t) {
		if r.Event == "policy.reloaded" {
			reloads++
		}
	}
	if reloads < 2 {
		t.Errorf("%d reloads are in the audit records, want at least the two that worked", reloads)
	}
}

func TestUnreachableUpstreamIs503InTimeAndReadyAnyway(t *testing.T) {
	t.Parallel()
	w := winnow.Start(t, winnow.Options{Upstreams: somewhere(t)})
	start := time.Now()
	status, head, body := w.Get(t, http.MethodGet, "/v2/docker.io/team/app/manifests/1")
	if took := time.Since(start); status != http.StatusServiceUnavailable || took > 5*time.Second || head.Get("Retry-After") == "" {
		t.Errorf("answered %d after %v, Retry-After %q: %s", status, took, head.Get("Retry-After"), body)
	}
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, key := range []string{"registry", "console"} {
		listen := winnow.Map{"registry": "127.0.0.1:0", "console": "127.0.0.1:0"}
		listen[key] = address
		w := winnow.Prepare(t, winnow.Options{Upstreams: somewhere(t), Config: winnow.Map{"listen": listen}})
		refusesToStart(t, w, "listen."+key, address, "in use")
	}
}

func TestFoldersThatCannotBeWrittenAreNamed(t *testing.T) {
	t.Parallel()
	testkit.Require(t, testkit.Root) // root writes everywhere but on a read-only mount
	for title, key := range map[string]string{"data/store": "store", "data/audit": "audit", "data": "embedded"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			w := winnow.Prepare(t, winnow.Options{Upstreams: somewhere(t)})
			folder := w.Path(title)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
				testkit.Skip(t, "cannot mount: "+err.Error())
			}
			refusesToStart(t, w, folder)
		})
	}
}

func TestTwoProgramsOnOneFolderAreRefused(t *testing.T) {
	t.Parallel()
	w := winnow.Start(t, winnow.Options{Upstreams: somewhere(t)})
	second := *w
	refusesToStart(t, &second, w.Path("data"))
	if err := w.Ready(); err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestRedisDownAtStartIsSaidAndServes(t *testing.T) {
	t.Parallel()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().String()
	dead.Close()
	dir := testkit.Dir(t)
	write(t, dir+"/mac.key", macKey)
	upstream, w := oneUpstream(t, winnow.Options{Config: winnow.Map{"cache": winnow.Map{
		"redis": winnow.Map{"addresses": []string{address}}, "macKeyFile": dir + "/mac.key", "embedded": winnow.Map{"path": dir + "/cache.db"},
	}}})
	upstream.Push(t, "team/app:1", images.New(t, well(60, 1<<16)))
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 5, nil)...); err != nil {
		t.Error(err)
	}
	said(t, w, "edis")
	response, err := http.Get(w.Console + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz says %s", response.Status)
	}
}

func TestTermLetsPullsEnd(t *testing.T) {
	t.Parallel()
	upstream, w := oneUpstream(t, winnow.Options{Config: longTTL})
	image := images.New(t, well(61, 4<<20))
	upstream.Push(t, "team/app:1", image)
	upstream.Shape(registry.Shape{BytesPerSecond: 2 << 20})
	const clients = 5
	pulled := make(chan []error)
	go func() { pulled <- pullAll(t.Context(), w.URL, "docker.io/team/app", "1", clients, nil) }()
	layer := layerDigests(t, image)[0]
	eventually(t, "every client is in the middle of the layer", func() error {
		serving := 0
		for _, r := range w.Audit(t) {
			if r.Event == "pull.decided" && strings.HasSuffix(r.Requested, layer) {
				serving++
			}
		}
		if serving < clients {
			return fmt.Errorf("%d of %d", serving, clients)
		}
		return nil
	})
	if err := w.Process.Stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	// The puller verifies length and hash: whoever got less would know.
	if errs := <-pulled; errors.Join(errs...) != nil {
		t.Errorf("pulls under way: %v", errors.Join(errs...))
	}
}

// said waits until the program's log contains text.
func said(t *testing.T, w *winnow.Winnow, text string) {
	t.Helper()
	eventually(t, "the log says "+text, func() error {
		if countLog(w, text) == 0 {
			return errors.New(w.Process.Output())
		}
		return nil
	})
}

// eventually waits until check returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("not seen in 10 s: %s: %v", what, err)
}
