package rules

import (
	"regexp"
	"slices"
	"strings"
)

// A secretForm is a form that an issuer gives its secrets. All expressions are RE2 and run in linear time.
type secretForm struct {
	name string
	hint string // stands in every match, so that most values are passed over without the expression
	re   *regexp.Regexp
}

func (f *secretForm) in(text string) bool {
	if !strings.Contains(text, f.hint) {
		return false
	}
	m := f.re.FindAllStringSubmatch(text, -1)
	for _, sub := range m {
		if len(sub) < 2 || literal(sub[1]) { // where the form has a variable part, a placeholder there is none
			return true
		}
	}
	return false
}

// secretForms returns the known forms. Sources: the issuers' documentation of their token prefixes, and the rules that
// Dockle, gitleaks and veles publish.
func secretForms() []secretForm {
	form := func(name, hint, expression string) secretForm {
		return secretForm{name: name, hint: hint, re: regexp.MustCompile(expression)}
	}
	return []secretForm{
		form("private key", "PRIVATE KEY", `-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`),
		form("AWS access key", "AKIA", `\bAKIA[A-Z0-9]{16}\b`),
		form("AWS session key", "ASIA", `\bASIA[A-Z0-9]{16}\b`),
		form("GitHub token", "gh", `\bgh[pousr]_[A-Za-z0-9]{36,255}\b`),
		form("GitHub fine-grained token", "github_pat_", `\bgithub_pat_[A-Za-z0-9_]{22,255}\b`),
		form("GitLab token", "glpat-", `\bglpat-[A-Za-z0-9_-]{20,300}`),
		form("Slack token", "xox", `\bxox[abeoprs]-[A-Za-z0-9-]{10,300}`),
		form("Slack webhook", "hooks.slack.com", `https://hooks\.slack\.com/services/T[A-Za-z0-9]{6,}/B[A-Za-z0-9]{6,}/[A-Za-z0-9]{16,}`),
		form("Google API key", "AIza", `\bAIza[0-9A-Za-z_-]{35}`),
		form("npm token", "npm_", `\bnpm_[A-Za-z0-9]{36}\b`),
		form("PyPI token", "pypi-", `\bpypi-AgEI[A-Za-z0-9_-]{50,}`),
		form("Docker Hub token", "dckr_", `\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}`),
		form("Stripe key", "_live_", `\b[rs]k_live_[A-Za-z0-9]{20,}`),
		form("SendGrid key", "SG.", `\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`),
		form("Hugging Face token", "hf_", `\bhf_[A-Za-z0-9]{34}\b`),
		form("Vault token", "hvs.", `\bhvs\.[A-Za-z0-9_-]{24,}`),
		form("Azure storage key", "AccountKey=", `AccountKey=[A-Za-z0-9+/]{86}==`),
		form("JSON web token", "eyJ", `\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`),
		form("URL with a password", "://", `[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@"']*:([^\s/@"']+)@`),
	}
}

// secretWords finds names whose value is a secret: the words stand alone between separators, or end the name.
var (
	secretWords = regexp.MustCompile(`(?:^|[_.:-])(?:PASS|PASSWD|PASSWORD|PASSPHRASE|PWD|SECRET|TOKEN|CREDENTIALS?|` +
		`(?:API|PRIVATE|ACCESS|SECRET|ENCRYPTION|SIGNING|MASTER|AUTH|ACCOUNT|STORAGE|SESSION)[_.-]?KEY)(?:$|[_.:-])` +
		`|(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|APIKEY|SECRETKEY|ACCESSKEY|PRIVATEKEY)$`)
	// publicWords are names about a secret, or of something public, that hold none.
	publicWords = regexp.MustCompile(`PUBLIC|(?:^|_)GPG_KEYS?$|^(?:OLD)?PWD$|` +
		`[_.-](?:FILE|PATH|DIR|DIRECTORY|NAME|TTL|EXPIRY|EXPIRATION|EXPIRES|LENGTH|SIZE|MIN|MAX|TYPE|ALGORITHM|ALG|HEADER|ENDPOINT|URL|URI|` +
		`HOST|PORT|TIMEOUT|ENABLED|DISABLED|REQUIRED|POLICY|ISSUER|AUDIENCE|PREFIX|FORMAT|COUNT|STORE|PROVIDER|BACKEND|VERSION)$`)
	filePath    = regexp.MustCompile(`^(?:file://)?(?:~|\.{1,2})?(?:/[A-Za-z0-9._@%-]+)+/?$`)
	placeholder = regexp.MustCompile(`^(?:\$.*|\{\{.*\}\}|<[^<>]*>|%[A-Za-z0-9_]+%|\*+|[xX]{3,}|\.{3})$`)
)

func secretName(upper string) bool {
	// Every word has one of these in it; the expressions cost a hundred times as much.
	if !slices.ContainsFunc([]string{"PASS", "PWD", "SECRET", "TOKEN", "CREDENTIAL", "KEY"}, func(part string) bool {
		return strings.Contains(upper, part)
	}) {
		return false
	}
	return secretWords.MatchString(upper) && !publicWords.MatchString(upper)
}

// literal reports whether a value could be a secret itself: not empty, a switch, a path, or a place where something will
// be put in. changeme and the like are literal: what is shipped as a default password stays one.
func literal(value string) bool {
	value = strings.Trim(strings.TrimSpace(value), `"'`)
	switch strings.ToLower(value) {
	case "", "0", "1", "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "auto", "optional", "required":
		return false
	}
	return !filePath.MatchString(value) && !placeholder.MatchString(value)
}

// An assignment is a name and its value in an instruction of the build history.
type assignment struct{ name, value string }

var (
	// instruction finds ENV, ARG and LABEL as classic builders and BuildKit write them, and the build arguments before
	// a RUN: |2 A=1 B=2 /bin/sh -c …
	instruction = regexp.MustCompile(`^(?:/bin/sh -c #\(nop\) +)?(?:ENV|ARG|LABEL) +`)
	buildArgs   = regexp.MustCompile(`^(?:RUN +)?\|[0-9]+ +`)
	equation    = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=("(?:[^"\\]|\\.)*"|'[^']*'|[^\s]*)`)
	oldForm     = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]*) +(.+)$`)
)

// assignments returns what a history line sets. Shell commands are left out: an assignment there is mostly program, and
// the known forms of secrets are looked for in them anyway.
func assignments(line string) []assignment {
	rest := ""
	if at := instruction.FindStringIndex(line); at != nil {
		rest = line[at[1]:]
		if m := oldForm.FindStringSubmatch(rest); m != nil {
			return []assignment{{m[1], m[2]}} // ENV NAME value
		}
	} else if at := buildArgs.FindStringIndex(line); at != nil {
		rest, _, _ = strings.Cut(line[at[1]:], "/bin/sh -c")
	}
	var out []assignment
	for _, m := range equation.FindAllStringSubmatch(rest, -1) {
		out = append(out, assignment{m[1], m[2]})
	}
	return out
}
