// Package winnow starts the program under test: the real binary, built once per test, with a configuration in a folder of
// its own and on ports that the kernel chose.
//
// It knows the program by its command line, its configuration file and its log, as an operator does, never by its packages.
package winnow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
)

// readyLimit is how long a start may take here, where the machine is busy with other tests.
const readyLimit = 20 * time.Second

// Policy refuses what the sample images show: running as root and secrets in the environment.
const Policy = `apiVersion: winnow/v1
kind: Policy
metadata: {name: e2e}
spec:
  images: {include: ["**"]}
  rules:
    - {id: no-root, use: config.non-root, action: deny}
    - {id: no-secrets, use: config.secrets, action: deny}
`

// Map is a piece of configuration.
type Map = map[string]any

// Options say how the program is configured. The zero value has no upstream and Policy.
type Options struct {
	Upstreams Map    // as in the configuration; see Upstream
	Policy    string // documents; Policy unless set
	Config    Map    // top-level keys that replace or add to the ones written here
	Binary    string // the program; built when empty
	Env       []string
}

// Winnow is one running program and its folder.
type Winnow struct {
	Dir     string // holds winnow.yaml, policy.yaml and data
	Binary  string
	Addr    string // host:port of the registry
	URL     string // of the registry
	Console string // URL of the console
	Process *testkit.Process

	env []string
}

// BinaryVariable names a built program in the environment: a TestMain sets it so that the tests of one package build once,
// a person to test another build, with the race detector for example.
const BinaryVariable = "WINNOW_BINARY"

// Build returns the program: the one that BinaryVariable names, else a new one that lives as long as the test.
func Build(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		return path
	}
	return testkit.Build(t, testkit.Dir(t), "github.com/winnow-registry/winnow/cmd/winnow")
}

// Upstream describes r as an upstream in the configuration, with the credentials it asks for.
func Upstream(t testing.TB, r *registry.Registry, auth registry.Auth) Map {
	t.Helper()
	out := Map{"url": r.URL, "private": true}
	if auth != registry.Open {
		out["username"], out["passwordFile"] = registry.User, registry.PasswordFile(t)
	}
	if r.Tokens != nil {
		out["tokenServers"] = []string{r.Tokens.Host()}
	}
	if r.CA != nil {
		out["caFile"] = r.CAFile(t)
	}
	return out
}

// Prepare writes the configuration without starting the program.
func Prepare(t testing.TB, o Options) *Winnow {
	t.Helper()
	w := &Winnow{Dir: testkit.Dir(t), Binary: o.Binary, env: o.Env}
	if w.Binary == "" {
		w.Binary = Build(t)
	}
	if o.Policy == "" {
		o.Policy = Policy
	}
	w.Write(t, "policy.yaml", o.Policy)
	config := Map{
		"listen":    Map{"registry": "127.0.0.1:0", "console": "127.0.0.1:0"},
		"upstreams": o.Upstreams,
		"store":     Map{"parameters": Map{"rootdirectory": w.Path("data/store")}},
		"cache":     Map{"embedded": Map{"path": w.Path("data/cache.db")}},
		"policy":    Map{"paths": []string{w.Path("policy.yaml")}},
		"audit":     Map{"path": w.Path("data/audit")},
	}
	if _, hub := o.Upstreams["docker.io"]; !hub {
		config["defaultUpstream"] = ""
	}
	maps.Copy(config, o.Config)
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatalf("writing the configuration: %v", err)
	}
	w.Write(t, "winnow.yaml", string(text))
	return w
}

// Start writes the configuration, runs the program until the test ends and waits until it is ready.
func Start(t testing.TB, o Options) *Winnow {
	t.Helper()
	w := Prepare(t, o)
	w.Serve(t)
	return w
}

// Serve starts the program, again after it has ended, and waits until it is ready.
func (w *Winnow) Serve(t testing.TB) {
	t.Helper()
	w.Launch(t)
	w.Process.Await(t, readyLimit, w.Ready)
}

// Launch starts the program and does not wait.
func (w *Winnow) Launch(t testing.TB) {
	t.Helper()
	w.Addr, w.URL, w.Console = "", "", ""
	w.Process = testkit.Start(t, "winnow", w.command("serve"))
	p := w.Process
	t.Cleanup(func() { // while it still runs: what it printed is removed with it
		for _, sign := range []string{"WARNING: DATA RACE", "panic:"} { // races show in a build with the race detector
			if strings.Contains(p.Output(), sign) {
				t.Errorf("winnow printed %q:\n%s", sign, p.Output())
			}
		}
	})
}

// Ready asks the console whether the program is ready.
func (w *Winnow) Ready() error {
	if w.Console == "" && !w.listening() {
		return errors.New("the log does not say yet where it listens")
	}
	response, err := http.Get(w.Console + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s: %s", response.Status, body)
	}
	return nil
}

// listening reads from the log where the program listens.
func (w *Winnow) listening() bool {
	for line := range strings.Lines(w.Process.Output()) {
		var entry struct{ Msg, Registry, Console string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "ready" {
			w.Addr, w.URL, w.Console = entry.Registry, "http://"+entry.Registry, "http://"+entry.Console
			return true
		}
	}
	return false
}

// Reload sends SIGHUP.
func (w *Winnow) Reload(t testing.TB) {
	t.Helper()
	if err := w.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// Run runs another command of the program with the same configuration. Its output is all it printed, its code the exit code.
func (w *Winnow) Run(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	cmd := w.command(args...)
	output, err := testkit.Output(cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running winnow %v: %v", args, err)
	}
	return output, cmd.ProcessState.ExitCode()
}

func (w *Winnow) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.Binary, append(args, "--config", w.Path("winnow.yaml"))...)
	cmd.Dir = w.Dir
	// What this process has of WINNOW_… is for the tests, and the program refuses variables that it does not know.
	inherited := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WINNOW_") })
	cmd.Env = append(inherited, w.env...)
	return cmd
}

// Path returns the path of a file in the program's folder.
func (w *Winnow) Path(name string) string { return filepath.Join(w.Dir, name) }

// Write writes a file in the program's folder.
func (w *Winnow) Write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(w.Path(name), []byte(content), 0o600); err != nil {
		t.Fatalf("writing %s: %v", name, err)
	}
}

// A Record is one audit record, as far as the scenarios look at it.
type Record struct {
	Event     string
	ID        string
	Requested string
	Method    string
	Kind      string
	Digest    struct{ Resolved, Served string }
	Decision  string
	Rules     []string
	Status    int
	Bytes     int64
	Stale     bool
	Reason    string
}

// Audit returns the records written so far, in order. The last line may still be being written and is then left out.
func (w *Winnow) Audit(t testing.TB) []Record {
	t.Helper()
	files, err := filepath.Glob(w.Path("data/audit/pulls-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []Record
	for _, file := range files { // their names sort by time
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		for s := bufio.NewScanner(bytes.NewReader(whole)); s.Scan(); {
			var r Record
			if err := json.Unmarshal(s.Bytes(), &r); err != nil {
				t.Fatalf("reading %s: %v: %s", file, err, s.Text())
			}
			out = append(out, r)
		}
	}
	return out
}

// Get asks the registry for a path and returns the status, the headers and the body.
func (w *Winnow) Get(t testing.TB, method, path string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, response.Header, body
}
