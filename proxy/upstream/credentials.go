package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

const (
	maxSecretFile   = 1 << 20          // bytes of a password file or of config.json: a wrong path is not read whole
	helperTimeout   = 10 * time.Second // helpers of clouds ask the network
	helperKeep      = 5 * time.Minute  // how long a helper's answer is used; cloud tokens live for hours
	dockerHubServer = "https://index.docker.io/v1/"
	identityUser    = "<token>" // the user name under which Docker keeps an identity token
)

// A secret is what an upstream's credentials are now. The zero value is anonymous.
type secret struct {
	username, password string
	identity           string // an OAuth2 refresh token, instead of a password
	bearer             string // a token for the registry itself
}

func (s secret) anonymous() bool { return s == secret{} }

// A keyring finds the credentials of one upstream, and notices when they change.
type keyring struct {
	username     string
	passwordFile string
	helper       string // program suffix; "docker" = Docker's config
	configFile   string // Docker's config.json
	server       string // what Docker calls the registry

	mu      sync.Mutex
	cached  secret
	stamp   string    // of the file that cached was read from
	expires time.Time // of a helper's answer
}

// newKeyring checks the credentials of an endpoint as far as they can be without asking a helper.
func newKeyring(e Endpoint, base *url.URL, dockerConfig string) (*keyring, error) {
	k := &keyring{username: e.Username, passwordFile: e.PasswordFile, helper: e.CredentialHelper, server: base.Host}
	if base.Host == "registry-1.docker.io" {
		k.server = dockerHubServer
	}
	if dockerConfig == "" {
		dockerConfig = config.Dir()
	}
	k.configFile = filepath.Join(dockerConfig, config.ConfigFileName)
	switch {
	case (k.username == "") != (k.passwordFile == ""):
		return nil, errors.New("username and passwordFile belong together")
	case k.helper != "" && k.username != "":
		return nil, errors.New("give username and passwordFile, or credentialHelper, not both")
	case k.username != "":
		if _, err := k.readPassword(); err != nil {
			return nil, err
		}
	case k.helper == "docker":
		if _, err := k.readDockerConfig(); err != nil {
			return nil, err
		}
	case k.helper != "":
		if err := checkHelper(k.helper); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func checkHelper(name string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name) {
		return fmt.Errorf("credentialHelper: %q is not the name of a helper; for docker-credential-pass write pass", name)
	}
	if _, err := exec.LookPath("docker-credential-" + name); err != nil {
		return fmt.Errorf("credentialHelper: %w", err)
	}
	return nil
}

// configured reports whether there may be credentials: whether an upstream's 401 is about them.
func (k *keyring) configured() bool { return k.username != "" || k.helper != "" }

// get returns the present credentials.
func (k *keyring) get(ctx context.Context) (secret, error) {
	if !k.configured() {
		return secret{}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.username != "" {
		return k.readPassword()
	}
	if time.Now().Before(k.expires) && (k.helper != "docker" || stampOf(k.configFile) == k.stamp) {
		return k.cached, nil
	}
	s, err := k.ask(ctx)
	if err != nil {
		return secret{}, err
	}
	k.cached, k.stamp, k.expires = s, stampOf(k.configFile), time.Now().Add(helperKeep)
	return s, nil
}

// forget drops a helper's answer, after it was refused.
func (k *keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expires = time.Time{}
}

func (k *keyring) ask(ctx context.Context) (secret, error) {
	if k.helper != "docker" {
		return askHelper(ctx, k.helper, k.server)
	}
	file, err := k.readDockerConfig()
	if err != nil {
		return secret{}, err
	}
	helper := file.CredentialHelpers[k.server]
	if helper == "" {
		helper = file.CredentialsStore
	}
	if helper != "" {
		if err := checkHelper(helper); err != nil {
			return secret{}, err
		}
		return askHelper(ctx, helper, k.server)
	}
	a, ok := file.AuthConfigs[k.server]
	for _, other := range []string{"https://" + k.server, "http://" + k.server, "https://" + k.server + "/v2/", "https://" + k.server + "/v1/"} {
		if !ok {
			a, ok = file.AuthConfigs[other]
		}
	}
	return secret{username: a.Username, password: a.Password, identity: a.IdentityToken, bearer: a.RegistryToken}, nil
}

// readPassword reads the password file when it is new or has changed, so that a rotated secret needs no reload.
func (k *keyring) readPassword() (secret, error) {
	stamp := stampOf(k.passwordFile)
	if stamp != "" && stamp == k.stamp {
		return k.cached, nil
	}
	b, err := readLimited(k.passwordFile)
	if err != nil {
		return secret{}, fmt.Errorf("passwordFile: %w", err)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" {
		return secret{}, fmt.Errorf("passwordFile: %s is empty", k.passwordFile)
	}
	k.cached, k.stamp = secret{username: k.username, password: password}, stamp
	return k.cached, nil
}

func (k *keyring) readDockerConfig() (*configfile.ConfigFile, error) {
	b, err := readLimited(k.configFile)
	if err != nil {
		return nil, fmt.Errorf("credentialHelper docker: %w", err)
	}
	file := configfile.New(k.configFile)
	if err := file.LoadFromReader(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("credentialHelper docker: reading %s: %w", k.configFile, err)
	}
	return file, nil
}

// askHelper runs docker-credential-<name>. Having none for the registry is not an error.
func askHelper(ctx context.Context, name, server string) (secret, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), helperTimeout)
	defer cancel()
	found, err := client.Get(func(args ...string) client.Program {
		cmd := exec.CommandContext(ctx, "docker-credential-"+name, args...)
		cmd.WaitDelay = time.Second // a grandchild that holds the pipe does not hold us
		return program{cmd}
	}, server)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return secret{}, nil
	case err != nil:
		return secret{}, fmt.Errorf("asking docker-credential-%s: %w", name, err)
	case found.Username == identityUser:
		return secret{identity: found.Secret}, nil
	}
	return secret{username: found.Username, password: found.Secret}, nil
}

// A program is a helper that ends with its context and whose stderr stays out of ours.
type program struct{ *exec.Cmd }

// Input sets what the helper reads.
func (p program) Input(in io.Reader) { p.Stdin = in }

// stampOf identifies the present state of a file; "" when there is none.
func stampOf(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecretFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxSecretFile)
	}
	return b, nil
}
