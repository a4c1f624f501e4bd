package configs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/configs"
)

// write puts a file into a new folder and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheDefaultFileIsTheDefault(t *testing.T) {
	t.Parallel()
	want := configs.Default()
	for name, file := range map[string]string{"none": "", "empty": write(t, "e.yaml", "# nothing\n"), "all": write(t, "a.yaml", string(configs.DefaultYAML()))} {
		got, err := configs.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, cmp.Transformer("lists", func(s []string) string { return strings.Join(s, ",") })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestTheDefaultFileNamesEveryKey fails when a key is added to Config and not to winnow.yaml.
func TestTheDefaultFileNamesEveryKey(t *testing.T) {
	t.Parallel()
	text := strings.ToUpper(string(configs.DefaultYAML()))
	for _, name := range configs.EnvironmentKeys() {
		last := name[strings.LastIndex(name, "_")+1:]
		if !strings.Contains(text, last+":") {
			t.Errorf("%s is not in winnow.yaml", name)
		}
	}
}

const contractExample = `
listen:
  registry: 127.0.0.1:5000
  console:  127.0.0.1:5001
  publicURL: "https://registry.example.org/"
upstreams:
  docker.io: {url: https://registry-1.docker.io}
  ghcr.io: {}
  quay.io:
  registry.corp:5443: {url: http://127.0.0.1:5443, private: true, username: u, passwordFile: SECRET}
tags: {ttl: 60s, stale: 2d12h}
admission: {hold: 25s, timeout: 10m, platforms: [linux/arm/v7], maxImageSize: 20GB, concurrency: 4}
store: {driver: s3, parameters: {bucket: b, regionendpoint: "http://127.0.0.1:9", secretkeyFile: SECRET, secure: false, chunksize: 5242880}, maxSize: 1048576}
cache: {redis: {addresses: ["a:6379"]}, macKeyFile: SECRET}
`

func TestLoadReadsTheContractExample(t *testing.T) {
	t.Parallel()
	secret := write(t, "secret", "pssst\n")
	c, err := configs.Load(write(t, "w.yaml", strings.ReplaceAll(contractExample, "SECRET", secret)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]configs.Upstream{
		"docker.io": {URL: "https://registry-1.docker.io"}, "ghcr.io": {URL: "https://ghcr.io"}, "quay.io": {URL: "https://quay.io"},
		"registry.corp:5443": {URL: "http://127.0.0.1:5443", Private: true, Username: "u", PasswordFile: secret},
	}
	if diff := cmp.Diff(want, c.Upstreams); diff != "" {
		t.Error(diff)
	}
	if c.Listen.PublicURL != "https://registry.example.org" || time.Duration(c.Tags.Stale) != 60*time.Hour ||
		c.Admission.MaxImageSize != 20e9 || c.Store.MaxSize != 1<<20 {
		t.Errorf("read as %+v", c)
	}
	p, err := c.Store.DriverParameters()
	if err != nil {
		t.Fatal(err)
	}
	wantP := map[string]any{"bucket": "b", "regionendpoint": "http://127.0.0.1:9", "secretkey": "pssst", "secure": false, "chunksize": int64(5242880)}
	if diff := cmp.Diff(wantP, p); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, want string }{
		"unknown key":        {"listen:\n  registy: :5000\n", `:2:3: unknown key "registy" in listen; did you mean "registry"?`},
		"insecure":           {"upstreams:\n  ghcr.io: {insecure: true}\n", `:2:13: unknown key "insecure" in upstreams.ghcr.io; known are url, private, `},
		"duplicate":          {"log: {level: info}\nlog: {level: warn}\n", `:2:1: key "log" is given twice; the first is on line 1`},
		"two documents":      {"log: {}\n---\nlog: {}\n", `:3:1: a second document begins here`},
		"wrong type":         {"admission: {concurrency: many}", `:1:26: admission.concurrency: wants a whole number, not "many"`},
		"duration":           {"tags:\n  ttl: 60\n", `:2:8: tags.ttl: wants a duration such as 60s, 24h or 7d, not "60"`},
		"negative duration":  {"tags: {ttl: -1s}", `:1:13: tags.ttl: wants a duration`},
		"size":               {"store: {maxSize: 5 potatoes}", `:1:18: store.maxSize: wants a size such as 50GiB`},
		"huge size":          {"store: {maxSize: 99999999999TiB}", `more than any disk holds`},
		"no port":            {"listen: {registry: localhost}", `:1:20: listen.registry: "localhost" is no address with a port; write host:port`},
		"bad port":           {"listen: {registry: 'localhost:70000'}", `has no port from 0 to 65535`},
		"registry off":       {"listen: {registry: ''}", `listen.registry: is empty`},
		"one address twice":  {"listen: {console: '127.0.0.1:5000'}", `:1:19: listen.console: 127.0.0.1:5000 is the registry's address too`},
		"public path":        {"listen: {publicURL: 'https://a/b'}", `has more than scheme and host`},
		"key without cert":   {"listen: {tls: {keyFile: k}}", `:1:25: listen.tls: keyFile is given without certFile`},
		"client CA alone":    {"listen: {tls: {clientCAFile: k}}", `client certificates need TLS`},
		"file absent":        {"auth: {htpasswdFile: /does/not/exist}", `:1:22: auth.htpasswdFile: open /does/not/exist: no such file`},
		"file is folder":     {"auth: {htpasswdFile: /}", `auth.htpasswdFile: / is a folder`},
		"no upstreams":       {"upstreams: {}", `:1:12: upstreams: is empty`},
		"wildcard":           {"upstreams: {'*': {}}", `:1:18: upstreams: "*" has a wildcard; every upstream is named`},
		"upstream is URL":    {"upstreams: {'https://ghcr.io': {}}", `is no host or host:port`},
		"upper case":         {"upstreams: {GHCR.io: {}}", `is no host or host:port in lower case`},
		"alias twice":        {"upstreams: {docker.io: {}, index.docker.io: {}}", `:1:45: upstreams: "index.docker.io" is another name of docker.io`},
		"plain http":         {"upstreams: {docker.io: {url: 'http://a'}}", `:1:30: upstreams.docker.io.url: http is for upstreams with private: true only; use https`},
		"other scheme":       {"upstreams: {docker.io: {url: 'ftp://a'}}", `does not begin with https://`},
		"URL with path":      {"upstreams: {docker.io: {url: 'https://a/v2'}}", `has more than scheme and host`},
		"password alone":     {"upstreams: {docker.io: {passwordFile: x}}", `passwordFile is given without username`},
		"user alone":         {"upstreams: {docker.io: {username: x}}", `username is given without passwordFile`},
		"two logins":         {"upstreams: {docker.io: {username: x, passwordFile: y, credentialHelper: z}}", `keep one way to log in`},
		"helper path":        {"upstreams: {docker.io: {credentialHelper: ../x}}", `not a path`},
		"blob host wild":     {"upstreams: {docker.io: {blobHosts: [a, '*.com']}}", `:1:40: upstreams.docker.io.blobHosts[1]: wants host or host:port`},
		"token server URL":   {"upstreams: {docker.io: {tokenServers: ['https://a']}}", `upstreams.docker.io.tokenServers[0]: wants host`},
		"default unknown":    {"upstreams: {ghcr.io: {}}\ndefaultUpstream: gchr.io", `:2:18: defaultUpstream: "gchr.io" is not among upstreams; use one of ghcr.io`},
		"default left":       {"upstreams: {ghcr.io: {}}", `defaultUpstream: "docker.io" is not among upstreams; use one of ghcr.io, or "" for none`},
		"hold":               {"admission: {hold: 0s}", `:1:19: admission.hold: must be longer than 0s`},
		"timeout":            {"admission: {timeout: 1s}", `admission.timeout: 1s is shorter than hold, 25s`},
		"platform":           {"admission: {platforms: [linux]}", `:1:25: admission.platforms[0]: "linux" is no platform`},
		"no platform":        {"admission: {platforms: []}", `admission.platforms: is empty`},
		"no concurrency":     {"admission: {concurrency: 0}", `must be 1 or more`},
		"image size":         {"admission: {maxImageSize: 0}", `must be more than 0`},
		"style":              {"deny: {style: harsh}", `:1:15: deny.style: "harsh" is not known; use standard, sticky`},
		"sticky":             {"deny: {style: sticky}", `:1:15: deny.style: sticky refusals are not built in this version; use standard`},
		"intercept":          {"listen: {intercept: ':8443'}", `:1:21: listen.intercept: the forward proxy and transparent TLS are not built in this version`},
		"advisories":         {"advisories: {sources: [https://osv.dev]}", `advisories are not built in this version`},
		"audit off":          {"audit: {onFailure: serve}", `audit.onFailure: "serve" is not known; use refuse`},
		"audit nowhere":      {"audit: {path: ''}", `audit.path: is empty`},
		"level":              {"log: {level: loud}", `log.level: "loud" is not known; use debug, info, warn, error`},
		"format":             {"log: {format: xml}", `log.format: "xml" is not known; use json, console`},
		"driver":             {"store: {driver: floppy}", `:1:17: store.driver: "floppy" is not known; use filesystem, s3`},
		"root":               {"store: {parameters: {rootdirectory: 7}}", `store.parameters.rootdirectory: wants the name of a folder`},
		"parameter file":     {"store: {driver: s3, parameters: {secretkeyFile: /does/not/exist}}", `store.parameters.secretkeyFile: open /does/not/exist`},
		"Redis without key":  {"cache: {redis: {addresses: ['a:1']}}", `cache.macKeyFile: is required with Redis; make a key with ` + "`(umask 077; openssl rand -base64 32 > mac.key)`"},
		"Redis address":      {"cache: {redis: {addresses: [a]}, macKeyFile: x}", `:1:29: cache.redis.addresses[0]: "a" is no address; write host:port`},
		"sentinel alone":     {"cache: {redis: {sentinelMaster: m}}", `cache.redis.addresses: is empty`},
		"MAC key absent":     {"cache: {redis: {addresses: ['a:1']}, macKeyFile: /does/not/exist}", `cache.macKeyFile: open /does/not/exist`},
		"policy reload":      {"policy: {reload: 1ms}", `policy.reload: 1ms is shorter than 1s`},
		"list as a word":     {"policy: {paths: a}", `:1:17: policy.paths: wants a list, not "a"`},
		"upstream as a list": {"upstreams: [docker.io]", `:1:12: upstreams: wants keys and values, not a list`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := write(t, "winnow.yaml", test.in)
			_, err := configs.Load(file, nil)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if !strings.HasPrefix(got, file+":") || strings.Contains(got, "\n") {
				t.Errorf("not one line that begins with the file: %q", got)
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got  %s\nwant %s", strings.TrimPrefix(got, file), test.want)
			}
		})
	}
}

func TestLoadWithoutItsFileSaysSo(t *testing.T) {
	t.Parallel()
	_, err := configs.Load("/does/not/exist.yaml", nil)
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist.yaml: no such file; `winnow config print`") {
		t.Error(err)
	}
	if _, err := configs.Load(t.TempDir(), nil); err == nil {
		t.Error("a folder is read as a configuration")
	}
}

func TestPasswordInURLIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://user:hunter2@a", "https://user:hunter2@a:b c", "https://user:hunter2%@a"} {
		_, err := configs.Load(write(t, "w.yaml", "upstreams: {docker.io: {url: '"+url+"'}}"), nil)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestPrintIsReadBackAndHidesSecrets(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(write(t, "w.yaml", "upstreams: {docker.io: , 'a.corp:5000': {url: 'http://10.0.0.1', private: true}}\n"+
		"store: {driver: s3, parameters: {bucket: b, secretkey: hunter2, accesskey: hunter3, region: '1'}, maxSize: 3MiB}\ntags: {ttl: 90s}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := configs.Print(&out, c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter") {
		t.Errorf("a secret is printed:\n%s", out.String())
	}
	again, err := configs.Load(write(t, "again.yaml", out.String()), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	c.Store.Parameters["secretkey"], c.Store.Parameters["accesskey"] = "(hidden)", "(hidden)"
	if diff := cmp.Diff(c, again, cmp.Transformer("lists", func(s []string) string { return strings.Join(s, ",") })); diff != "" {
		t.Error(diff)
	}
	if w := strings.Join(c.Warnings(), "\n"); !strings.Contains(w, "store.parameters.secretkey holds a secret") || strings.Contains(w, "hunter") {
		t.Error(w)
	}
}

func TestNeedRestart(t *testing.T) {
	t.Parallel()
	a, b := configs.Default(), configs.Default()
	b.Listen.TLS.CertFile, b.Auth.HtpasswdFile, b.Policy.Paths = "x", "y", []string{"z"}
	b.Upstreams = map[string]configs.Upstream{"ghcr.io": {}}
	if got := configs.NeedRestart(&a, &b); len(got) != 0 {
		t.Errorf("%v need a restart", got)
	}
	b.Listen.Registry, b.Policy.Reload, b.Store.Parameters = ":1", 7, map[string]any{}
	want := []string{"listen.registry", "policy.reload", "store.parameters"}
	if diff := cmp.Diff(want, configs.NeedRestart(&a, &b)); diff != "" {
		t.Error(diff)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c := configs.Default()
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("the defaults warn: %v", w)
	}
	secret := write(t, "secret", "x")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	c.Listen.Registry, c.Listen.Console, c.Auth.HtpasswdFile, c.Admission.Hold = ":5000", ":5001", "x", configs.Duration(time.Minute)
	c.Upstreams["ghcr.io"] = configs.Upstream{PasswordFile: secret}
	w := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"upstreams.ghcr.io.passwordFile: every user", "admission.hold", "auth.htpasswdFile: passwords cross", "listen.console: :5001 is open"} {
		if !strings.Contains(w, want) {
			t.Errorf("no warning %q in:\n%s", want, w)
		}
	}
}
