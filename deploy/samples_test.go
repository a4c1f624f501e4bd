// Package deploy_test holds the samples of this folder against what they are samples of.
package deploy_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/policy/strictyaml"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// samples returns the files below a folder whose names end in one of the suffixes.
func samples(t *testing.T, dir string, suffixes ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && slices.Contains(suffixes, filepath.Ext(p)) {
			found = append(found, p)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%s holds no %v: %v", dir, suffixes, err)
	}
	return found
}

// loads checks that Winnow would start with a configuration, with the secrets that it names in place.
func loads(t *testing.T, text string) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 44)), 0o600); err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`/run/secrets/[A-Za-z0-9_./-]+`).ReplaceAllString(text, secret)
	file := filepath.Join(dir, "winnow.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigurationsLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"compose/winnow.yaml", "systemd/winnow.yaml", "container/winnow.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := configs.ReadPolicies(loads(t, read(t, name))); err != nil {
				t.Error(err)
			}
		})
	}
}

// object is a Kubernetes object, as far as these tests look at it.
type object map[string]any

// at follows keys and list positions into an object.
func (o object) at(t *testing.T, keys ...any) any {
	t.Helper()
	var v any = map[string]any(o)
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok || m[k] == nil {
				t.Fatalf("%v: no %v", o["kind"], keys)
			}
			v = m[k]
		case int:
			l, ok := v.([]any)
			if !ok || k >= len(l) {
				t.Fatalf("%v: no %v", o["kind"], keys)
			}
			v = l[k]
		}
	}
	return v
}

// objects reads all Kubernetes samples, by kind and name.
func objects(t *testing.T) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, file := range samples(t, "kubernetes", ".yaml") {
		docs, err := strictyaml.Documents(file, []byte(read(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			o := object{}
			if err := d.Decode((*map[string]any)(&o)); err != nil {
				t.Fatal(err)
			}
			if o["apiVersion"] == nil || o["kind"] == nil {
				t.Errorf("%s: a document without apiVersion or kind", file)
			}
			all[d.Field("kind")+"/"+o.at(t, "metadata", "name").(string)] = o
		}
	}
	return all
}

func TestKubernetesConfigurationAndPoliciesLoad(t *testing.T) {
	t.Parallel()
	all := objects(t)
	c := loads(t, all["ConfigMap/winnow"].at(t, "data", "winnow.yaml").(string))
	if len(c.Cache.Redis.Addresses) == 0 || c.Store.Driver != "s3" {
		t.Error("the replicas share nothing")
	}
	var files []policy.File
	for name, text := range all["ConfigMap/winnow-policies"].at(t, "data").(map[string]any) {
		files = append(files, policy.File{Name: name, Data: []byte(text.(string))})
	}
	if _, err := policy.Load(files, rules.All()); err != nil {
		t.Error(err)
	}
}

func TestKubernetesMountsWhatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	all := objects(t)
	deployment := all["Deployment/winnow"]
	var mounts []string
	for _, m := range deployment.at(t, "spec", "template", "spec", "containers", 0, "volumeMounts").([]any) {
		mounts = append(mounts, m.(map[string]any)["mountPath"].(string))
	}
	text := all["ConfigMap/winnow"].at(t, "data", "winnow.yaml").(string)
	for _, arg := range deployment.at(t, "spec", "template", "spec", "containers", 0, "args").([]any) {
		text += " " + arg.(string)
	}
	paths := regexp.MustCompile(`(?:^|[\s\[])(/[a-z][A-Za-z0-9_./-]+)`).FindAllStringSubmatch(text, -1)
	if len(paths) < 5 {
		t.Fatalf("found only %v", paths)
	}
	for _, p := range paths {
		if !slices.ContainsFunc(mounts, func(m string) bool { return p[1] == m || strings.HasPrefix(p[1], m+"/") }) {
			t.Errorf("%s is on no volume; mounted are %v", p[1], mounts)
		}
	}
}

func TestKubernetesPodIsConfined(t *testing.T) {
	t.Parallel()
	d := objects(t)["Deployment/winnow"]
	if n := d.at(t, "spec", "replicas").(int64); n < 2 {
		t.Errorf("%d replicas", n)
	}
	pod := []any{"spec", "template", "spec"}
	for _, want := range []struct {
		value any
		at    []any
	}{
		{false, []any{"automountServiceAccountToken"}},
		{true, []any{"securityContext", "runAsNonRoot"}},
		{int64(65532), []any{"securityContext", "runAsUser"}},
		{"RuntimeDefault", []any{"securityContext", "seccompProfile", "type"}},
		{true, []any{"containers", 0, "securityContext", "readOnlyRootFilesystem"}},
		{false, []any{"containers", 0, "securityContext", "allowPrivilegeEscalation"}},
		{"ALL", []any{"containers", 0, "securityContext", "capabilities", "drop", 0}},
		{"/readyz", []any{"containers", 0, "readinessProbe", "httpGet", "path"}},
		{"/healthz", []any{"containers", 0, "livenessProbe", "httpGet", "path"}},
	} {
		if got := d.at(t, append(pod[:3:3], want.at...)...); got != want.value {
			t.Errorf("%v is %v, want %v", want.at, got, want.value)
		}
	}
}

func TestComposeIsConfined(t *testing.T) {
	t.Parallel()
	var c struct {
		Name     string         `yaml:"name"`
		Networks map[string]any `yaml:"networks"`
		Volumes  map[string]any `yaml:"volumes"`
		Secrets  map[string]any `yaml:"secrets"`
		Services map[string]any `yaml:"services"`
	}
	if err := strictyaml.Decode("compose.yaml", []byte(read(t, "compose/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"winnow", "redis"} {
		s, ok := c.Services[name].(map[string]any)
		if !ok || s["read_only"] != true || s["user"] != "65532:65532" || s["privileged"] != nil {
			t.Errorf("%s: %v", name, s)
		}
		for _, secret := range s["secrets"].([]any) {
			if _, ok := c.Secrets[secret.(string)]; !ok {
				t.Errorf("%s: no secret %v", name, secret)
			}
		}
	}
}

func TestClientSamplesParse(t *testing.T) {
	t.Parallel()
	for _, file := range samples(t, "clients", ".toml", ".conf", ".yaml", ".json") {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			text, err := read(t, file), error(nil)
			v := map[string]any{}
			switch filepath.Ext(file) {
			case ".json":
				err = json.Unmarshal([]byte(text), &v)
			case ".yaml":
				err = strictyaml.Decode(file, []byte(text), &v)
			default:
				err = toml.Unmarshal([]byte(text), &v)
			}
			if err != nil || len(v) == 0 {
				t.Fatalf("%v: %v", v, err)
			}
			if filepath.Ext(file) != ".json" && !strings.Contains(text, "What enforces") && !strings.Contains(text, "Belongs to") {
				t.Error("does not say what enforces and what does not")
			}
		})
	}
}

// TestClientSamplesHaveNoFallback: with a second host, or a mirror beside the real location, a refused image is had from the real registry.
func TestClientSamplesHaveNoFallback(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"clients/docker/hosts.toml", "clients/containerd/hosts.toml"} {
		var h map[string]any
		if err := toml.Unmarshal([]byte(read(t, file)), &h); err != nil {
			t.Fatal(err)
		}
		if host, ok := h["host"].(map[string]any); !ok || len(host) != 0 || h["server"] != "https://winnow.example.org" {
			t.Errorf("%s: %v", file, h)
		}
	}
	for _, file := range []string{"clients/podman/registries.conf", "clients/crio/registries.conf"} {
		var r struct {
			Registry []struct {
				Prefix, Location string
				Mirror           []any
			}
		}
		if err := toml.Unmarshal([]byte(read(t, file)), &r); err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Registry {
			if e.Location != "winnow.example.org/"+e.Prefix || len(e.Mirror) != 0 {
				t.Errorf("%s: %+v", file, e)
			}
		}
		if len(r.Registry) == 0 {
			t.Errorf("%s lists no registry", file)
		}
	}
}

func TestSystemdUnitIsValid(t *testing.T) {
	t.Parallel()
	unit := read(t, "systemd/winnow.service")
	for _, want := range []string{"DynamicUser=yes", "ProtectSystem=strict", "StateDirectory=winnow", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(unit, want) {
			t.Errorf("no %s", want)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // what systemd itself says of the unit is known where there is systemd
	}
	// The program is installed elsewhere; verify asks whether what the unit starts exists.
	file := filepath.Join(t.TempDir(), "winnow.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/local/bin/winnow", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	} else if len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

func TestImageHasNoShellAndIsNotRoot(t *testing.T) {
	t.Parallel()
	dockerfile := read(t, "../Dockerfile")
	_, final, ok := strings.Cut(dockerfile, "\nFROM scratch\n")
	if !ok || strings.Contains(final, "\nFROM ") || strings.Contains(final, "\nRUN ") {
		t.Error("the last stage is not made from scratch alone")
	}
	if !strings.Contains(final, "\nUSER 65532:65532\n") || !strings.Contains(dockerfile, "CGO_ENABLED=0") {
		t.Error("the program is not static or runs as root")
	}
}
