package upstream_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

func TestAnonymousRegistry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	img := push(t, root, "library/app", "1.0", 10_000)
	c := newClient(t, upstream.Options{}, at(serve(t, distribution(t, root, nil))))
	checkPull(t, c, "library/app", "1.0", img)

	names, more, err := c.Tags(t.Context(), "u", "library/app", 10, "")
	if err != nil || more || fmt.Sprint(names) != "[1.0]" {
		t.Errorf("tags %v, more %v, %v", names, more, err)
	}
	_, err = c.Resolve(t.Context(), "u", "library/app", "2.0")
	wantError(t, err, 404, "not_found")
	_, err = c.Resolve(t.Context(), "elsewhere", "library/app", "2.0")
	wantError(t, err, 404, "unknown_upstream")
}

func TestBasicAuthRegistryWithPasswordFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	img := push(t, root, "team/app", "1", 1000)
	server := serve(t, distribution(t, root, htpasswd(t, "us", "right")))

	e := at(server)
	anonymous := newClient(t, upstream.Options{}, e)
	_, err := anonymous.Resolve(t.Context(), "u", "team/app", "1")
	wantError(t, err, 403, "forbidden")

	e.Username, e.PasswordFile = "us", write(t, "password", "wrong\n")
	c := newClient(t, upstream.Options{}, e)
	_, err = c.Resolve(t.Context(), "u", "team/app", "1")
	wantError(t, err, 503, "upstream_auth")

	if err := os.WriteFile(e.PasswordFile, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkPull(t, c, "team/app", "1", img) // a rotated password is found without a reload
}

func TestTokenRegistry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	img := push(t, root, "team/app", "1", 1000)
	tokens := newTokenServer(t, "us", "secret")
	server := serve(t, distribution(t, root, tokens.auth))

	e := at(server)
	e.Username, e.PasswordFile = "us", write(t, "password", "secret")
	e.TokenServers = []string{hostOf(tokens.Server)}
	c := newClient(t, upstream.Options{}, e)
	checkPull(t, c, "team/app", "1", img)
	if asked := tokens.asked.Load(); asked != 1 {
		t.Errorf("%d tokens were asked for, want 1 for the whole pull", asked)
	}
	if scope := <-tokens.scopes; scope != "repository:team/app:pull" {
		t.Errorf("asked for scope %q", scope)
	}

	e.PasswordFile = write(t, "password", "expired")
	if err := c.Reload([]upstream.Endpoint{e}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Resolve(t.Context(), "u", "team/app", "1")
	wantError(t, err, 503, "upstream_auth")
	before := tokens.asked.Load()
	_, err = c.Resolve(t.Context(), "u", "team/app", "1")
	wantError(t, err, 503, "upstream_auth")
	if tokens.asked.Load() != before {
		t.Error("refused credentials were tried again at once: the account would be locked")
	}
}

// FM-11: a token that was given is used until it expires, whatever becomes of its server.
func TestTokenServerDownKeepsCachedTokens(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	img := push(t, root, "team/app", "1", 1000)
	tokens := newTokenServer(t, "", "")
	e := at(serve(t, distribution(t, root, tokens.auth)))
	e.TokenServers = []string{hostOf(tokens.Server)}
	c := newClient(t, upstream.Options{}, e)
	checkPull(t, c, "team/app", "1", img)
	tokens.Close()
	checkPull(t, c, "team/app", "1", img)
	for range 3 {
		_, err := c.Resolve(t.Context(), "u", "team/other", "1")
		wantError(t, err, 503, "unavailable")
	}
	checkPull(t, c, "team/app", "1", img)
}

func TestDockerConfigAndCredentialHelper(t *testing.T) {
	root := t.TempDir()
	img := push(t, root, "team/app", "1", 1000)
	server := serve(t, distribution(t, root, htpasswd(t, "us", "right")))

	t.Run("config.json", func(t *testing.T) {
		file := write(t, "config.json", fmt.Sprintf(`{"auths":{%q:{"auth":"dXM6cmlnaHQ="}}}`, hostOf(server)))
		e := at(server)
		e.CredentialHelper = "docker"
		checkPull(t, newClient(t, upstream.Options{DockerConfig: filepath.Dir(file)}, e), "team/app", "1", img)
	})
	script := "#!/bin/sh\nread server\n[ \"$server\" = " + hostOf(server) + " ] || exit 1\n" +
		`echo '{"Username":"us","Secret":"right"}'` + "\n"
	helper := write(t, "docker-credential-winnowtest", script)
	if err := os.Chmod(helper, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
	t.Run("helper", func(t *testing.T) {
		e := at(server)
		e.CredentialHelper = "winnowtest"
		checkPull(t, newClient(t, upstream.Options{}, e), "team/app", "1", img)
	})
	t.Run("helper named in config.json", func(t *testing.T) {
		file := write(t, "config.json", fmt.Sprintf(`{"credHelpers":{%q:"winnowtest"}}`, hostOf(server)))
		e := at(server)
		e.CredentialHelper = "docker"
		checkPull(t, newClient(t, upstream.Options{DockerConfig: filepath.Dir(file)}, e), "team/app", "1", img)
	})
}

// FM-43 needs a broken network; what can be had here is a name with an address that nobody answers beside one
// that works.
func TestDeadAddressBesideLivingOneIsNotFatal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	img := push(t, root, "app", "1", 1000)
	server := serve(t, distribution(t, root, nil))
	_, port, _ := net.SplitHostPort(hostOf(server))
	e := upstream.Endpoint{Name: "u", URL: "http://two.test:" + port, Private: true}
	c := newClient(t, upstream.Options{Resolver: resolver(t, "127.0.0.2", "127.0.0.1")}, e)
	checkPull(t, c, "app", "1", img)
}
