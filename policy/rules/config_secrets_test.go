package rules_test

import (
	"strings"
	"testing"

	"github.com/winnow-registry/winnow/policy"
)

// The secrets below are made up, and put together here so that scanners of this repository do not report them.
var (
	githubToken = "ghp_" + strings.Repeat("a1B2", 9)
	awsKey      = "AKIA" + "IOSFODNN7EXAMPLE"
	webToken    = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0.c2lnbmF0dXJl"
)

func TestSecretsAreFoundWhereverAConfigurationHoldsThem(t *testing.T) {
	t.Parallel()
	env := func(s string) policy.Config { return policy.Config{Env: []string{s}} }
	history := func(s string) policy.Image { return policy.Image{History: []policy.History{{CreatedBy: s}}} }
	for name, image := range map[string]policy.Image{
		"an AWS key":                    {Config: env("X=" + awsKey)},
		"an AWS key under its own name": {Config: env("AWS_ACCESS_KEY_ID=" + awsKey)},
		"a GitHub token":                {Config: env("X=" + githubToken)},
		"a GitHub fine-grained token":   {Config: env("X=github_pat_" + strings.Repeat("a", 22))},
		"a GitLab token":                {Config: env("X=glpat-" + strings.Repeat("a", 20))},
		"a Slack token":                 {Config: env("X=xoxb-" + strings.Repeat("1", 12))},
		"a Google key":                  {Config: env("X=AIza" + strings.Repeat("x", 35))},
		"an npm token":                  {Config: env("X=npm_" + strings.Repeat("a", 36))},
		"a web token":                   {Config: env("X=" + webToken)},
		"a private key":                 {Config: env("X=-----BEGIN " + "RSA PRIVATE KEY-----\nMII")},
		"an OpenSSH key":                {Config: env("X=-----BEGIN " + "OPENSSH PRIVATE KEY-----")},
		"a key without algorithm":       {Config: env("X=-----BEGIN " + "PRIVATE KEY-----")},
		"a URL with a password":         {Config: env("DATABASE_URL=postgres://app:hunter22@db/app")},
		"a password":                    {Config: env("DB_PASSWORD=hunter22")},
		"a default password":            {Config: env("ADMIN_PASSWORD=changeme")},
		"a password of digits":          {Config: env("PASSWORD=123456")},
		"a password in small letters":   {Config: env("db.password=hunter22")},
		"a password run together":       {Config: env("DBPASSWORD=hunter22")},
		"an API key":                    {Config: env("STRIPE_API_KEY=abcdef")},
		"an AWS secret":                 {Config: env("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")},
		"a base64 secret like a path":   {Config: env("APP_SECRET=/abc+def/ghi==")},
		"a label":                       {Config: policy.Config{Labels: map[string]string{"com.acme.api-token": "abcdef"}}},
		"a label's value":               {Config: policy.Config{Labels: map[string]string{"note": githubToken}}},
		"an entrypoint":                 {Config: policy.Config{Entrypoint: []string{"/app", "--token", githubToken}}},
		"a command":                     {Config: policy.Config{Cmd: []string{"curl", "https://u:hunter22@example.org"}}},
		"a health check":                {Config: policy.Config{Healthcheck: &policy.Healthcheck{Test: []string{"CMD", "curl", "-H", githubToken}}}},
		"an ONBUILD instruction":        {Config: policy.Config{OnBuild: []string{"RUN echo " + githubToken}}},
		"the name of a variable":        {Config: env(githubToken + "=1")},
		"the name of a label":           {Config: policy.Config{Labels: map[string]string{githubToken: ""}}},
		"history, ENV":                  history("/bin/sh -c #(nop)  ENV DB_PASSWORD=hunter22"),
		"history, ENV of BuildKit":      history("ENV DB_PASSWORD=hunter22 OTHER=1"),
		"history, ENV of old":           history("ENV DB_PASSWORD hunter22"),
		"history, quoted":               history(`ENV DB_PASSWORD="hunter 22"`),
		"history, ARG":                  history("ARG NPM_TOKEN=abcdef"),
		"history, LABEL":                history("LABEL com.acme.secret=abcdef"),
		"history, a build argument":     history("|2 A=1 NPM_TOKEN=abcdef /bin/sh -c npm ci"),
		"history, BuildKit's argument":  history("RUN |1 NPM_TOKEN=abcdef /bin/sh -c npm ci # buildkit"),
		"history, a command line":       history("RUN /bin/sh -c git clone https://ci:hunter22@git.example.org/x # buildkit"),
		"history, a comment":            {History: []policy.History{{Comment: "by " + githubToken}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := judge(t, "config.secrets", "", image)
			if out.Message == "" {
				t.Fatal("not found")
			}
			for _, f := range out.Findings {
				for _, secret := range []string{githubToken, awsKey, webToken, "hunter22", "changeme", "abcdef", "123456", "wJalr"} {
					if strings.Contains(f.Text+out.Message, secret) {
						t.Errorf("a finding shows the secret: %s", f.Text)
					}
				}
			}
		})
	}
}

func TestWhatIsNoSecretIsNotReported(t *testing.T) {
	t.Parallel()
	for name, image := range map[string]policy.Image{
		"ordinary variables": {Config: policy.Config{Env: []string{"PATH=/usr/bin", "LANG=C.UTF-8", "PWD=/srv", "OLDPWD=/", "EMPTY="}}},
		"public keys": {Config: policy.Config{Env: []string{"GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568", "GPG_KEYS=A B",
			"PUBLIC_KEY=abc", "SSH_PUBLIC_KEY=ssh-ed25519 AAAA", "NODE_KEYRING=x"}}},
		"where a secret is": {Config: policy.Config{Env: []string{"DB_PASSWORD_FILE=/run/secrets/db", "TOKEN_PATH=tokens", "SECRET_NAME=db",
			"PASSWORD=/run/secrets/pw", "TOKEN_URL=https://login.example.org/token"}}},
		"properties of secrets": {Config: policy.Config{Env: []string{"TOKEN_TTL=3600", "PASSWORD_MIN_LENGTH=8", "ALLOW_EMPTY_PASSWORD=yes", "SECRET_BACKEND=vault"}}},
		"placeholders": {Config: policy.Config{Env: []string{"PASSWORD=", `PASSWORD=""`, "TOKEN=${TOKEN}", "TOKEN=$TOKEN", "TOKEN={{ token }}", "TOKEN=<token>",
			"TOKEN=%TOKEN%", "TOKEN=***", "TOKEN=xxxx", "URL=https://user:${PASS}@example.org", "URL=https://user@example.org"}}},
		"words that contain one": {Config: policy.Config{Env: []string{"COMPASS=north", "KEYBOARD=us", "MONKEY=x", "TOKENIZERS_PARALLELISM=false", "PASSENGER_APP=x"}}},
		"history": {History: []policy.History{{CreatedBy: "ARG TOKEN"}, {CreatedBy: "RUN |1 TOKEN= /bin/sh -c x"},
			{CreatedBy: "RUN /bin/sh -c PASSWORD=$(cat /run/secrets/x) ./setup # buildkit"}, {CreatedBy: "COPY id_rsa.pub /home/app/ # buildkit"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out := judge(t, "config.secrets", "", image); out.Message != "" {
				t.Errorf("reported: %+v", out.Findings)
			}
		})
	}
}

func TestSecretParameters(t *testing.T) {
	t.Parallel()
	image := policy.Image{Config: policy.Config{Env: []string{"DEMO_PASSWORD=hunter22", "ACME_LICENSE=AC-12-34", "JWT=" + webToken}}}
	for with, want := range map[string]int{
		"":                                      2, // password, web token
		"{allow: [DEMO_*]}":                     1,
		"{allowForms: [JSON web token]}":        1,
		"{names: ['*_license']}":                3,
		"{forms: {acme licence: 'AC-[0-9-]+'}}": 3,
	} {
		if out := judge(t, "config.secrets", with, image); len(out.Findings) != want {
			t.Errorf("%s: %d findings, want %d: %+v", with, len(out.Findings), want, out.Findings)
		}
	}
}
