package daemons_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/google/go-containerregistry/cmd/crane/cmd" // keeps in go.mod what NewCrane builds

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/daemons"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
)

// The engines pull from a plain registry here: what fails in this file is the kit, not the program under test.

// upstream starts a registry that holds the application.
func upstream(t *testing.T) *registry.Registry {
	t.Helper()
	r := registry.Start(t, registry.Options{})
	r.Push(t, "docker.io/team/app:1", images.New(t, images.Spec{Server: true, User: images.NonRoot}))
	return r
}

// answers waits until the application answers and returns what it says.
func answers(t *testing.T, address string) string {
	t.Helper()
	var last error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + address)
		if err != nil {
			last = err
			continue
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Fatalf("the application does not answer: %v", last)
	return ""
}

const hello = "hello from linux/amd64 as 65532\n"

func TestDockerPullsAndRuns(t *testing.T) {
	t.Parallel()
	r := upstream(t)
	docker := daemons.StartDocker(t)
	ref := r.Addr + "/docker.io/team/app:1"
	if out, err := docker.Pull(t, ref); err != nil {
		t.Fatal(err, out)
	}
	address := testkit.FreePort(t)
	docker.Start(t, ref, "app", "-listen", address)
	if got := answers(t, address); got != hello {
		t.Errorf("the application says %q", got)
	}
}

func TestContainerdPullsThroughTheDefaultHostAndRuns(t *testing.T) {
	t.Parallel()
	r := registry.Start(t, registry.Options{})
	r.Push(t, "team/app:1", images.New(t, images.Spec{Server: true, User: images.NonRoot}))
	containerd := daemons.StartContainerd(t)
	containerd.Mirror(t, r.URL)
	const ref = "docker.io/team/app:1"
	if out, err := containerd.Pull(t, ref); err != nil {
		t.Fatal(err, out)
	}
	address := testkit.FreePort(t)
	containerd.Start(t, ref, "app", images.ServerPath, "-listen", address)
	if got := answers(t, address); got != hello {
		t.Errorf("the application says %q", got)
	}
}

func TestPodmanPullsFromTheLocationAndRuns(t *testing.T) {
	t.Parallel()
	r := upstream(t)
	podman := daemons.NewPodman(t)
	podman.Mirror(t, r.Addr, []string{"docker.io"})
	const ref = "docker.io/team/app:1"
	if out, err := podman.Pull(t, ref); err != nil {
		t.Fatal(err, out)
	}
	address := testkit.FreePort(t)
	podman.Start(t, ref, "app", "-listen", address)
	if got := answers(t, address); got != hello {
		t.Errorf("the application says %q", got)
	}
}

func TestSkopeoAndCraneCopy(t *testing.T) {
	t.Parallel()
	r := upstream(t)
	skopeo := daemons.NewSkopeo(t)
	skopeo.Mirror(t, r.Addr, []string{"docker.io"})
	folder, out, err := skopeo.Copy(t, "docker.io/team/app:1")
	if err != nil {
		t.Fatal(err, out)
	}
	if _, err := os.Stat(filepath.Join(folder, "manifest.json")); err != nil {
		t.Error(err)
	}
	crane := daemons.NewCrane(t)
	digest := strings.TrimSpace(crane.Must(t, "digest", "--insecure", r.Addr+"/docker.io/team/app:1"))
	if !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("crane digest says %q", digest)
	}
}

func TestRedisComesBackEmptyOnItsAddress(t *testing.T) {
	t.Parallel()
	r := daemons.StartRedis(t)
	before := r.Process.PID()
	r.Restart(t)
	if after := r.Process.PID(); after == before {
		t.Errorf("still process %d", after)
	}
}
