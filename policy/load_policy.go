package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

func (l *loader) policy(doc strictyaml.Document) {
	var d policyDocument
	if err := doc.Decode(&d); err != nil {
		l.fail(err)
		return
	}
	l.name(doc, "policy", d.Metadata.Name, l.policies)
	if len(d.Spec.Images.Include) == 0 {
		l.failAt(doc, []any{"spec", "images", "include"}, `spec.images.include is missing; ["**"] includes every image`)
	}
	if d.Spec.Mode != "" && d.Spec.Mode != "enforce" && d.Spec.Mode != "audit" {
		l.failAt(doc, []any{"spec", "mode"}, "mode is %q; want enforce or audit%s", d.Spec.Mode, hint(d.Spec.Mode, "enforce", "audit"))
	}
	p := &loadedPolicy{
		name:     d.Metadata.Name,
		include:  l.patterns(doc, d.Spec.Images.Include, "spec", "images", "include"),
		exclude:  l.patterns(doc, d.Spec.Images.Exclude, "spec", "images", "exclude"),
		audit:    d.Spec.Mode == "audit",
		slimming: l.slimming(d.Metadata.Name, d.Spec.Slim),
	}
	if len(d.Spec.Rules) == 0 {
		l.warn(doc, []any{"spec", "rules"}, "policy %s has no rule, and refuses the images that no other policy includes", p.name)
	}
	if l.rules += len(d.Spec.Rules); l.rules > maxRules {
		l.failAt(doc, []any{"spec", "rules"}, "more than %d rules in all", maxRules)
		return
	}
	ids := map[string]int{}
	for _, r := range d.Spec.Rules {
		line, _ := r.Position("id")
		rule := l.rule(p.name, r)
		if rule == nil {
			continue
		}
		if first, ok := ids[rule.id]; ok {
			l.failAt(r, []any{"id"}, "rule %q is defined twice; the first is on line %d", rule.id, first)
		}
		ids[rule.id] = line
		p.rules = append(p.rules, rule)
	}
	l.set.policies = append(l.set.policies, p)
}

// rule compiles one rule; it is nil when something is wrong.
func (l *loader) rule(policy string, doc strictyaml.Document) *rule {
	var f ruleFields
	if doc.Empty() {
		l.failAt(doc, nil, "a rule is empty")
		return nil
	}
	if err := doc.Decode(&f); err != nil {
		l.fail(err)
		return nil
	}
	errs := len(l.errs)
	r := &rule{id: f.ID, policy: policy, action: f.Action, severity: f.Severity, message: f.Message}
	if !identifier.MatchString(f.ID) {
		l.failAt(doc, []any{"id"}, "the rule's id is %q; want up to 63 letters, digits, dots, dashes and underscores", f.ID)
	}
	l.oneOf(doc, "action", string(f.Action), "warn", "slim", "deny")
	if f.Severity != "" {
		l.oneOf(doc, "severity", string(f.Severity), "info", "low", "medium", "high", "critical")
	}
	if len(f.Message) > maxText || clean(f.Message) != f.Message {
		l.failAt(doc, []any{"message"}, "message must be one line of at most %d bytes, without control characters", maxText)
	}
	switch {
	case (f.Use != "") == (f.Expression != ""):
		l.failAt(doc, nil, "rule %q needs exactly one of use (a built-in rule) and expression (CEL)", f.ID)
	case f.Use != "":
		l.builtin(doc, f, r)
	default:
		if !f.With.Empty() {
			l.failAt(doc, []any{"with"}, "with belongs to a built-in rule; an expression takes no parameters")
		}
		l.expression(doc, f, r)
	}
	if len(l.errs) > errs {
		return nil
	}
	return r
}

func (l *loader) oneOf(doc strictyaml.Document, key, value string, allowed ...string) {
	if value == "" {
		l.failAt(doc, []any{key}, "%s is missing; want %s", key, strings.Join(allowed, ", "))
	} else if !slices.Contains(allowed, value) {
		l.failAt(doc, []any{key}, "%s is %q; want %s%s", key, value, strings.Join(allowed, ", "), hint(value, allowed...))
	}
}

func (l *loader) builtin(doc strictyaml.Document, f ruleFields, r *rule) {
	b, ok := l.builtins[f.Use]
	if !ok {
		l.failAt(doc, []any{"use"}, "no built-in rule is called %q%s; `winnow policy rules` lists them", f.Use, hint(f.Use, l.names...))
		return
	}
	check, err := b.Compile(func(into any) error { return f.With.Decode(into) })
	if p := (*ParamError)(nil); errors.As(err, &p) {
		l.failAt(doc, append([]any{"with"}, p.Path...), "%s: %s", f.Use, p.Message)
		return
	}
	if y := (*strictyaml.Error)(nil); errors.As(err, &y) {
		l.fail(y)
		return
	}
	if err != nil {
		l.failAt(doc, []any{"use"}, "%s: %v", f.Use, err)
		return
	}
	if b.Params == nil && !f.With.Empty() {
		l.failAt(doc, []any{"with"}, "%s takes no parameters", f.Use)
	}
	if f.Action == ActionSlim && !b.Mends {
		l.warn(doc, []any{"action"}, "rule %s: slimming cannot mend %s, so that slim refuses as deny does", f.ID, f.Use)
	}
	l.used[b.Name] = true
	r.use, r.check, r.stage, r.kinds = b.Name, check, b.Stage, b.Kinds
	r.controls, r.advice = b.Controls, b.Advice
	if r.severity == "" {
		r.severity = b.Severity
	}
}

func (l *loader) expression(doc strictyaml.Document, f ruleFields, r *rule) {
	e, err := l.cel.compile(f.Expression)
	if c := (*celError)(nil); errors.As(err, &c) {
		where := ""
		if c.line > 0 {
			where = fmt.Sprintf(" at %d:%d", c.line, c.column)
		}
		l.failAt(doc, []any{"expression"}, "expression%s: %s", where, c.message)
		return
	}
	if err != nil {
		l.failAt(doc, []any{"expression"}, "%v", err)
		return
	}
	r.expression, r.stage, r.kinds = e, e.reads.stage, e.reads.kinds
	if r.severity == "" {
		r.severity = SeverityMedium
	}
	if r.message == "" {
		r.message = "does not comply with the rule"
	}
}

// uidGID is what a slimmed image may be made to run as: numbers need no lookup in the image.
var uidGID = regexp.MustCompile(`^[0-9]{1,10}(:[0-9]{1,10})?$`)

func (l *loader) slimming(policy string, doc strictyaml.Document) *Slimming {
	s := &Slimming{Profile: "strip", Layout: "shared", Shell: "auto"}
	if doc.Empty() {
		return nil
	}
	if err := doc.Decode(s); err != nil {
		l.fail(err)
		return nil
	}
	s.Policy = policy
	l.oneOf(doc, "profile", s.Profile, "strip", "packages")
	l.oneOf(doc, "layout", s.Layout, "shared", "rewrite")
	l.oneOf(doc, "shell", s.Shell, "keep", "auto", "drop")
	for key, list := range map[string][]string{"keep": s.Keep, "remove": s.Remove} {
		for i, p := range list {
			if !strings.HasPrefix(p, "/") {
				l.failAt(doc, []any{key, i}, "%q is not an absolute path", p)
			}
		}
	}
	if s.User != "" && !uidGID.MatchString(s.User) {
		l.failAt(doc, []any{"user"}, `user is %q; want numbers, e.g. "65532:65532"`, s.User)
	}
	return s
}

// hint suggests the word that was meant.
func hint(word string, known ...string) string {
	if s := strictyaml.Suggest(word, known); s != "" {
		return fmt.Sprintf("; did you mean %q?", s)
	}
	return ""
}
