package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/winnow-registry/winnow/policy"
)

type secretsParams struct {
	Allow    []string          `yaml:"allow" jsonschema_description:"patterns of names (environment variables, labels, build arguments) that hold no secret: TEST_*; a value of a known form is reported all the same, unless allowForms has it"`
	Forms    map[string]string `yaml:"forms" jsonschema_description:"more forms of secrets: what it is called, and a regular expression (RE2) that finds it anywhere in a value"`
	Names    []string          `yaml:"names" jsonschema_description:"more patterns of names whose values are secrets, without regard to case: *_LICENSE"`
	AllowFor []string          `yaml:"allowForms" jsonschema_description:"known forms that are not reported, by name: JSON web token, URL with a password, …"`
}

func secrets() policy.Builtin {
	return define(policy.Builtin{
		Name:  "config.secrets",
		Title: "Holds no secret in its configuration",
		Doc: "Looks for keys, tokens and passwords in environment, labels, command lines, build history and build arguments: by the forms that " +
			"issuers give them, and by names such as DB_PASSWORD with a literal value. Paths, placeholders such as ${VAR}, public keys and empty values are " +
			"not reported. No value is ever printed. Files in layers are not looked at.",
		Controls: []string{"NIST SP 800-190 4.1.4", "CIS Docker 4.10", "CIS-DI-0010", "DISA CCI-002367"},
		Advice:   "Revoke the secret, since everybody who can pull the image has it; then pass it at run time or as a build secret.",
		Severity: policy.SeverityCritical,
		Stage:    policy.StageConfig,
		Kinds:    images,
	}, secretsParams{}, func(p secretsParams) (policy.Check, error) {
		s, err := newSearch(p)
		if err != nil {
			return nil, err
		}
		return func(in policy.Input) policy.Outcome {
			found := s.image(&in.Contents.Image)
			if len(found) == 0 {
				return policy.Outcome{}
			}
			return broken("holds what looks like a secret in its configuration", found...)
		}, nil
	})
}

// search finds secrets. Each finding says where and what kind, never what.
type search struct {
	allow, names []string
	forms        []secretForm
}

func newSearch(p secretsParams) (*search, error) {
	s := &search{allow: p.Allow}
	for field, list := range map[string][]string{"allow": p.Allow, "names": p.Names} {
		for i, pattern := range list {
			if pattern == "" || !doublestar.ValidatePattern(pattern) {
				return nil, bad([]any{field, i}, "%q is not a pattern of names such as TEST_*", pattern)
			}
		}
	}
	for _, n := range p.Names {
		s.names = append(s.names, strings.ToUpper(n))
	}
	known := secretForms()
	for i, name := range p.AllowFor {
		if !slices.ContainsFunc(known, func(f secretForm) bool { return f.name == name }) {
			return nil, bad([]any{"allowForms", i}, "no known form is called %q", name)
		}
	}
	for _, f := range known {
		if !slices.Contains(p.AllowFor, f.name) {
			s.forms = append(s.forms, f)
		}
	}
	for _, name := range sortedKeys(p.Forms) {
		re, err := regexp.Compile(p.Forms[name])
		if err != nil || re.MatchString("") {
			return nil, bad([]any{"forms", name}, "%q is not a regular expression that finds something", p.Forms[name])
		}
		s.forms = append(s.forms, secretForm{name: name, re: re})
	}
	return s, nil
}

// maxSecrets is how many secrets are looked for in one image: one is enough to refuse it, and a configuration of
// megabytes must not cost seconds.
const maxSecrets = 100

func (s *search) image(image *policy.Image) []string {
	var found []string
	note := func(where, what string) {
		if what != "" && len(found) < maxSecrets {
			// Names come from the image as well, and may themselves be the secret.
			found = append(found, fmt.Sprintf("%s holds %s", s.mask(where), article(what)))
		}
	}
	for _, e := range image.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		note("environment "+name, s.named(name, value))
		note("a name in the environment", s.form(name))
	}
	for _, name := range sortedKeys(image.Config.Labels) {
		note("label "+name, s.named(name, image.Config.Labels[name]))
		note("the name of a label", s.form(name))
	}
	for _, c := range []struct {
		where string
		words []string
	}{{"entrypoint", image.Config.Entrypoint}, {"command", image.Config.Cmd}, {"ONBUILD", image.Config.OnBuild}, {"health check", healthTest(image)}} {
		note(c.where, s.form(strings.Join(c.words, " ")))
	}
	for i, h := range image.History {
		where := fmt.Sprintf("history line %d", i+1)
		note(where, s.form(h.CreatedBy+"\n"+h.Comment))
		for _, a := range assignments(h.CreatedBy) {
			note(where+", "+a.name, s.byName(a.name, a.value))
		}
	}
	return found
}

func healthTest(image *policy.Image) []string {
	if image.Config.Healthcheck == nil {
		return nil
	}
	return image.Config.Healthcheck.Test
}

// named says what secret the value under name is, "" when none.
func (s *search) named(name, value string) string {
	if form := s.form(value); form != "" {
		return form
	}
	return s.byName(name, value)
}

// form says which known form of secret stands in text, "" when none.
func (s *search) form(text string) string {
	for _, f := range s.forms {
		if f.in(text) {
			return f.name
		}
	}
	return ""
}

// byName says that the value is a secret because of its name, "" when it is not.
func (s *search) byName(name, value string) string {
	if !literal(value) || slices.ContainsFunc(s.allow, func(p string) bool { return doublestar.MatchUnvalidated(p, name) }) {
		return ""
	}
	upper := strings.ToUpper(name)
	if secretName(upper) || slices.ContainsFunc(s.names, func(p string) bool { return doublestar.MatchUnvalidated(p, upper) }) {
		return "secret by its name"
	}
	return ""
}

func (s *search) mask(text string) string {
	for _, f := range s.forms {
		if strings.Contains(text, f.hint) {
			text = f.re.ReplaceAllString(text, "***")
		}
	}
	return text
}

func article(what string) string {
	if strings.ContainsAny(what[:1], "AEIOUaeiou") {
		return "an " + what
	}
	return "a " + what
}
