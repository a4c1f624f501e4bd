package e2e_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/daemons"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
)

// A site is two upstreams with sample images and the program in front of them.
type site struct {
	*winnow.Winnow
	hub, corp *registry.Registry // behind a token server, behind a password

	badLayers []string
	digests   map[string]string // by upstream/repository:tag
}

// newSite pushes, to each upstream, the application on a Debian root (team/app:1), the same for two platforms
// (team/app:multi) and with a secret (team/app:bad). Docker's media types are at corp, OCI's at the hub.
func newSite(t *testing.T) *site {
	t.Helper()
	testkit.Require(t, testkit.Root, "debootstrap")
	s := &site{
		hub:     registry.Start(t, registry.Options{Auth: registry.Token}),
		corp:    registry.Start(t, registry.Options{Auth: registry.Basic}),
		digests: map[string]string{},
	}
	for name, r := range map[string]*registry.Registry{hub: s.hub, corp: s.corp} {
		good, arm, bad := images.Good(), images.Good(), images.Good()
		arm.Arch, arm.Debian = "arm64", false
		bad.Env, bad.Data, bad.Debian = []string{secret}, []int{100_000}, false
		good.Docker, arm.Docker, bad.Docker = name == corp, name == corp, name == corp
		app := images.New(t, good)
		refused := images.New(t, bad)
		s.badLayers = append(s.badLayers, layerDigests(t, refused)[1:]...) // the first, the application, is in the others too
		for tag, what := range map[string]partial.Describable{
			"1": app, "multi": images.Index(t, name == corp, app, images.New(t, arm)), "bad": refused,
		} {
			s.digests[name+"/team/app:"+tag] = r.Push(t, "team/app:"+tag, what)
		}
	}
	s.Winnow = winnow.Start(t, winnow.Options{Config: longTTL, Upstreams: winnow.Map{
		hub: winnow.Upstream(t, s.hub, registry.Token), corp: winnow.Upstream(t, s.corp, registry.Basic),
	}})
	return s
}

// refs lists every way to name the admitted images: two upstreams, by tag and by digest, for one platform and for two.
func (s *site) refs() []string {
	var out []string
	for _, name := range []string{hub, corp} {
		for _, tag := range []string{"1", "multi"} {
			out = append(out, name+"/team/app:"+tag, name+"/team/app@"+s.digests[name+"/team/app:"+tag])
		}
	}
	return out
}

// refused fails the test unless out, what a client printed for the refused image, says why, and none of its layers moved.
func (s *site) refused(t *testing.T, out string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("the client pulled the refused image: %s", out)
	}
	names(t, out, "no-secrets", s.Winnow)
	noneFetched(t, s.hub, s.badLayers)
	noneFetched(t, s.corp, s.badLayers)
	for _, r := range s.Audit(t) {
		for _, layer := range s.badLayers {
			if r.Digest.Served == layer {
				t.Errorf("a layer of the refused image was served: %+v", r)
			}
		}
	}
}

// audited fails the test unless the records hold decisions of both kinds and `winnow audit verify` accepts them.
func (s *site) audited(t *testing.T) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range s.Audit(t) {
		seen[r.Event+" "+r.Kind+" "+r.Decision] = true
	}
	for _, want := range []string{"pull.decided manifest admit", "pull.decided manifest deny", "pull.decided blob admit"} {
		if !seen[want] {
			t.Errorf("no %q among the audit records", want)
		}
	}
	auditIsWhole(t, s.Winnow)
}

const hello = "hello from linux/amd64 as 65532\n"

// answers waits until the application answers at address, as the right user.
func answers(t *testing.T, address string) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + address)
		if err != nil {
			last = err
			continue
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(b) != hello {
			t.Errorf("the application says %q, %v", b, err)
		}
		return
	}
	t.Errorf("the application does not answer: %v", last)
}

func TestDockerPullsRunsAndIsRefused(t *testing.T) {
	testkit.Require(t, testkit.Root, "dockerd", "docker", "containerd", "runc")
	s := newSite(t)
	docker := daemons.StartDocker(t)
	for _, ref := range s.refs() {
		if out, err := docker.Pull(t, s.Addr+"/"+ref); err != nil {
			t.Fatalf("docker pull %s: %v %s", ref, err, out)
		}
	}
	app := s.Addr + "/" + hub + "/team/app:1"
	address := testkit.FreePort(t)
	docker.Start(t, app, "app", "-listen", address)
	answers(t, address)
	release := docker.Must(t, "run", "--rm", "--network", "none", "--entrypoint", "cat", app, "/etc/os-release")
	if !strings.Contains(release, "VERSION_CODENAME="+images.Suite) {
		t.Errorf("the root is not Debian's: %s", release)
	}

	out, err := docker.Pull(t, s.Addr+"/"+hub+"/team/app:bad")
	s.refused(t, out, err)
	out, err = docker.Pull(t, s.Addr+"/"+corp+"/team/app@"+s.digests[corp+"/team/app:bad"])
	s.refused(t, out, err)
	s.audited(t)
}

func TestDockerPullsThroughAMirror(t *testing.T) {
	testkit.Require(t, testkit.Root, "dockerd", "docker", "containerd", "runc")
	s := newSite(t)
	docker := daemons.StartDocker(t, s.URL)
	if out, err := docker.Pull(t, "team/app:1"); err != nil {
		t.Fatalf("docker pull: %v %s", err, out)
	}
	got := strings.TrimSpace(docker.Must(t, "image", "inspect", "--format", "{{index .RepoDigests 0}}", "team/app:1"))
	if want := "team/app@" + s.digests[hub+"/team/app:1"]; got != want {
		t.Errorf("docker holds %s, want %s", got, want)
	}
}

func TestContainerdPullsRunsAndIsRefused(t *testing.T) {
	testkit.Require(t, testkit.Root, "containerd", "ctr", "runc")
	s := newSite(t)
	containerd := daemons.StartContainerd(t)
	containerd.Mirror(t, s.URL)
	for _, ref := range s.refs() {
		if out, err := containerd.Pull(t, ref); err != nil {
			t.Fatalf("ctr images pull %s: %v %s", ref, err, out)
		}
	}
	address := testkit.FreePort(t)
	containerd.Start(t, corp+"/team/app:multi", "app", images.ServerPath, "-listen", address)
	answers(t, address)

	out, err := containerd.Pull(t, hub+"/team/app:bad")
	s.refused(t, out, err)
	out, err = containerd.Pull(t, corp+"/team/app@"+s.digests[corp+"/team/app:bad"])
	s.refused(t, out, err)
	for _, ref := range containerd.Images(t) {
		if strings.HasSuffix(ref, ":bad") {
			t.Errorf("containerd holds %s", ref)
		}
	}
	s.audited(t)
}

func TestPodmanPullsRunsAndIsRefused(t *testing.T) {
	testkit.Require(t, testkit.Root, "podman", "conmon", "runc")
	s := newSite(t)
	podman := daemons.NewPodman(t)
	podman.Mirror(t, s.Addr, []string{hub, corp})
	for _, ref := range s.refs() {
		if out, err := podman.Pull(t, ref); err != nil {
			t.Fatalf("podman pull %s: %v %s", ref, err, out)
		}
	}
	address := testkit.FreePort(t)
	podman.Start(t, hub+"/team/app:multi", "app", "-listen", address)
	answers(t, address)

	out, err := podman.Pull(t, hub+"/team/app:bad")
	s.refused(t, out, err)
	out, err = podman.Pull(t, corp+"/team/app@"+s.digests[corp+"/team/app:bad"])
	s.refused(t, out, err)
	s.audited(t)
}

func TestSkopeoCopiesAndIsRefused(t *testing.T) {
	testkit.Require(t, "skopeo")
	s := newSite(t)
	skopeo := daemons.NewSkopeo(t)
	skopeo.Mirror(t, s.Addr, []string{hub, corp})
	for _, ref := range s.refs() {
		folder, out, err := skopeo.Copy(t, ref, "--all")
		if err != nil {
			t.Fatalf("skopeo copy %s: %v %s", ref, err, out)
		}
		if _, err := os.Stat(filepath.Join(folder, "manifest.json")); err != nil {
			t.Error(err)
		}
	}
	_, out, err := skopeo.Copy(t, hub+"/team/app:bad")
	s.refused(t, out, err)
	s.audited(t)
}

func TestCranePullsAndIsRefused(t *testing.T) {
	s := newSite(t)
	crane := daemons.NewCrane(t)
	for ref, digest := range s.digests {
		named := s.Addr + "/" + ref
		if strings.HasSuffix(ref, ":bad") {
			for _, command := range [][]string{{"manifest", "--insecure", named}, {"pull", "--insecure", named, filepath.Join(testkit.Dir(t), "bad.tar")}} {
				out, err := crane.Run(t, command...)
				s.refused(t, out, err)
			}
			continue
		}
		if got := strings.TrimSpace(crane.Must(t, "digest", "--insecure", named)); got != digest {
			t.Errorf("crane digest %s says %s, want %s", ref, got, digest)
		}
		crane.Must(t, "manifest", "--insecure", named)
		crane.Must(t, "pull", "--insecure", named, filepath.Join(testkit.Dir(t), "image.tar"))
	}
	s.audited(t)
}
