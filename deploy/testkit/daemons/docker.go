package daemons

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// Docker is a running Docker Engine with its command line client.
type Docker struct {
	client
	daemon *testkit.Process
}

// StartDocker runs dockerd on a containerd of its own until the test ends. mirrors are its registry-mirrors, which it
// asks for images of Docker Hub.
func StartDocker(t testing.TB, mirrors ...string) *Docker {
	t.Helper()
	testkit.Require(t, testkit.Root, "dockerd", "docker")
	containerd := StartContainerd(t) // else dockerd would use the machine's own, where there is one
	dir := testkit.Dir(t)
	driver := "vfs"
	if overlayWorks(dir) {
		driver = "overlay2"
	}
	settings, err := json.Marshal(map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "pid"),
		"containerd": containerd.Socket, "storage-driver": driver, "registry-mirrors": mirrors,
		"iptables": false, "ip6tables": false, "bridge": "none",
		"hosts": []string{"unix://" + filepath.Join(dir, "sock")},
	})
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, filepath.Join(dir, "daemon.json"), string(settings))
	d := &Docker{client: client{program: lookPath(t, "docker"), env: []string{
		"DOCKER_HOST=unix://" + filepath.Join(dir, "sock"), "DOCKER_CONFIG=" + filepath.Join(dir, "client"),
	}}}
	d.daemon = testkit.Start(t, "dockerd", command(t, "dockerd", "--config-file", config))
	d.daemon.Await(t, readyLimit, func() error {
		_, err := d.Run(t, "version")
		return err
	})
	return d
}

// Pull pulls ref.
func (d *Docker) Pull(t testing.TB, ref string, args ...string) (string, error) {
	t.Helper()
	return d.Run(t, append(append([]string{"pull"}, args...), ref)...)
}

// Start runs a container in the background on the host's network; it is removed when the test ends.
func (d *Docker) Start(t testing.TB, ref, name string, args ...string) {
	t.Helper()
	d.Must(t, append([]string{"run", "--detach", "--network", "host", "--name", name, ref}, args...)...)
	t.Cleanup(func() {
		if out, err := d.clean("rm", "--force", name); err != nil {
			t.Logf("removing the container: %v %s", err, out)
		}
	})
}

func command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(lookPath(t, name), args...)
}
