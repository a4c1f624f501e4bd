package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy/audit"
)

func TestPasswordsAreAskedForAndRecorded(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "library/app:1", good(1))
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("alice:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, up.URL, noRoot, func(c *configs.Config) { c.Auth.HtpasswdFile = file })
	for _, path := range []string{"/v2/", "/v2/app/manifests/1"} {
		resp, _ := r.do("GET", path)
		if resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("Www-Authenticate"), `Basic realm="winnow"`) {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
		r.want(401, "GET", path, "Authorization", "Basic "+basic("alice:wrong"))
		r.want(200, "GET", path, "Authorization", "Basic "+basic("alice:secret"))
		r.want(200, "GET", path, "Authorization", "Basic "+basic("alice:secret"))
	}
	for _, x := range up.Requests() {
		if strings.Contains(x.Agent, "alice") {
			t.Error("credentials went upstream")
		}
	}
	var users []string
	for _, x := range r.records(audit.EventDecided) {
		users = append(users, x.Client.User)
	}
	if got := strings.Join(users, ","); got != ",,alice,alice" {
		t.Errorf("recorded users: %q", got)
	}
}

func basic(s string) string {
	req := http.Request{Header: http.Header{}}
	user, password, _ := strings.Cut(s, ":")
	req.SetBasicAuth(user, password)
	return strings.TrimPrefix(req.Header.Get("Authorization"), "Basic ")
}
