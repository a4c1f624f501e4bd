package daemons

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// Podman is podman with storage of its own.
type Podman struct {
	client
	policy string
	dir    string
}

// NewPodman prepares podman; it has no daemon.
func NewPodman(t testing.TB) *Podman {
	t.Helper()
	testkit.Require(t, testkit.Root, "podman", "conmon", "runc") // crun refuses a machine that has both kinds of cgroups
	dir := testkit.Dir(t)
	driver := "vfs"
	if overlayWorks(dir) {
		driver = "overlay"
	}
	storage := write(t, filepath.Join(dir, "storage.conf"), fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n",
		driver, filepath.Join(dir, "graph"), filepath.Join(dir, "run")))
	engine := write(t, filepath.Join(dir, "containers.conf"), fmt.Sprintf(
		"[containers]\nlog_driver = \"k8s-file\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\ntmp_dir = %q\n",
		filepath.Join(dir, "tmp")))
	p := &Podman{dir: dir, policy: acceptAnything(t, dir)}
	p.client = client{program: lookPath(t, "podman"), env: []string{
		"CONTAINERS_STORAGE_CONF=" + storage, "CONTAINERS_CONF=" + engine,
		"CONTAINERS_REGISTRIES_CONF=" + filepath.Join(dir, "registries.conf"),
		"REGISTRY_AUTH_FILE=" + write(t, filepath.Join(dir, "auth.json"), "{}"), // podman wants it to exist
	}}
	p.Mirror(t, "", nil)
	return p
}

// Mirror sends pulls from the named registries to the one at address, and nowhere else: `location`, no mirror stanza.
func (p *Podman) Mirror(t testing.TB, address string, registries []string) {
	t.Helper()
	write(t, filepath.Join(p.dir, "registries.conf"), registriesConf(address, registries))
}

// Pull pulls ref.
func (p *Podman) Pull(t testing.TB, ref string, args ...string) (string, error) {
	t.Helper()
	return p.Run(t, append(append([]string{"pull", "--signature-policy", p.policy}, args...), ref)...)
}

// Start runs a container in the background on the host's network; it is removed when the test ends.
func (p *Podman) Start(t testing.TB, ref, name string, args ...string) {
	t.Helper()
	p.Must(t, append([]string{"run", "--detach", "--pull", "never", "--network", "host", "--name", name, ref}, args...)...)
	t.Cleanup(func() {
		if out, err := p.clean("rm", "--force", "--time", "0", name); err != nil {
			t.Logf("removing the container: %v %s", err, out)
		}
	})
}

// Skopeo is skopeo with a configuration of its own.
type Skopeo struct {
	client
	dir string
}

// NewSkopeo prepares skopeo.
func NewSkopeo(t testing.TB) *Skopeo {
	t.Helper()
	testkit.Require(t, "skopeo")
	dir := testkit.Dir(t)
	s := &Skopeo{dir: dir}
	s.client = client{program: lookPath(t, "skopeo"), flags: []string{
		"--policy", acceptAnything(t, dir), "--registries-conf", filepath.Join(dir, "registries.conf"), "--tmpdir", dir,
	}, env: []string{"REGISTRY_AUTH_FILE=" + write(t, filepath.Join(dir, "auth.json"), "{}")}}
	s.Mirror(t, "", nil)
	return s
}

// Mirror is Podman.Mirror.
func (s *Skopeo) Mirror(t testing.TB, address string, registries []string) {
	t.Helper()
	write(t, filepath.Join(s.dir, "registries.conf"), registriesConf(address, registries))
}

// Copy copies ref into a folder and returns the folder.
func (s *Skopeo) Copy(t testing.TB, ref string, args ...string) (folder, output string, err error) {
	t.Helper()
	folder = filepath.Join(testkit.Dir(t), "copy")
	output, err = s.Run(t, append(append([]string{"copy"}, args...), "docker://"+ref, "dir:"+folder)...)
	return folder, output, err
}

func registriesConf(address string, registries []string) string {
	var b strings.Builder
	b.WriteString("unqualified-search-registries = []\nshort-name-mode = \"disabled\"\n")
	for _, r := range registries {
		fmt.Fprintf(&b, "[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n", r, address+"/"+r)
	}
	return b.String()
}

// acceptAnything writes a signature policy: what is signed is not what these tests are about.
func acceptAnything(t testing.TB, dir string) string {
	t.Helper()
	return write(t, filepath.Join(dir, "policy.json"), `{"default": [{"type": "insecureAcceptAnything"}]}`)
}
