package daemons

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// Containerd is a running containerd with its command line client.
type Containerd struct {
	client // ctr
	Socket string
	hosts  string
}

// StartContainerd runs containerd until the test ends.
func StartContainerd(t testing.TB) *Containerd {
	t.Helper()
	testkit.Require(t, testkit.Root, "containerd", "ctr", "runc")
	dir := testkit.Dir(t)
	socket := filepath.Join(dir, "containerd.sock")
	config := write(t, filepath.Join(dir, "config.toml"), fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket))
	c := &Containerd{
		client: client{program: lookPath(t, "ctr"), flags: []string{"--address", socket, "--namespace", "test"}},
		Socket: socket, hosts: filepath.Join(dir, "certs.d"),
	}
	p := testkit.Start(t, "containerd", command(t, "containerd", "--config", config))
	p.Await(t, readyLimit, func() error {
		_, err := c.Run(t, "version")
		return err
	})
	c.env = []string{"CONTAINERD_SNAPSHOTTER=" + snapshotter(dir)}
	return c
}

// Mirror sends every pull to the registry at url and nowhere else: the `_default` folder with `server` and an empty
// host table, without which containerd 1.6 ignores the file.
func (c *Containerd) Mirror(t testing.TB, url string) {
	t.Helper()
	dir := filepath.Join(c.hosts, "_default")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("server = %q\ncapabilities = [\"pull\", \"resolve\"]\n[host]\n", url))
}

// Pull pulls ref by the configuration that Mirror wrote.
func (c *Containerd) Pull(t testing.TB, ref string, args ...string) (string, error) {
	t.Helper()
	return c.Run(t, append(append([]string{"images", "pull", "--hosts-dir", c.hosts}, args...), ref)...)
}

// Images lists the references that containerd holds.
func (c *Containerd) Images(t testing.TB) []string {
	t.Helper()
	return strings.Fields(c.Must(t, "images", "ls", "-q"))
}

// Start runs a container in the background on the host's network; it is killed when the test ends.
func (c *Containerd) Start(t testing.TB, ref, name string, args ...string) {
	t.Helper()
	c.Must(t, append([]string{"run", "--detach", "--net-host", ref, name}, args...)...)
	t.Cleanup(func() {
		for _, args := range [][]string{{"tasks", "kill", "--signal", "KILL", name}, {"tasks", "rm", "--force", name}, {"containers", "rm", name}} {
			if out, err := c.clean(args...); err != nil {
				t.Logf("ctr %v: %v %s", args, err, out)
			}
		}
	})
}

// snapshotter names the one that works for a root in dir: overlay mounts fail on top of an overlay.
func snapshotter(dir string) string {
	if overlayWorks(dir) {
		return "overlayfs"
	}
	return "native"
}

// overlayWorks tries an overlay mount whose upper folder is in dir.
func overlayWorks(dir string) bool {
	base := filepath.Join(dir, "overlay-try")
	defer os.RemoveAll(base)
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			return false
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)
	merged := filepath.Join(base, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return false
	}
	return unix.Unmount(merged, 0) == nil
}
