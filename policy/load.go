package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

const (
	// engineRevision is counted up when the same documents and rules come to decide differently, so that verdicts
	// of an older program lapse.
	engineRevision = 1
	// maxRules bounds the rules of all documents together: each costs microseconds on every evaluation.
	maxRules = 2000
	// maxText bounds messages and reasons, which clients see in 300 characters.
	maxText = 512
)

// identifier is what rules, policies and exemptions may be called: it stands in logs, metrics and refusals.
var identifier = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// Load compiles documents into a Set. The error joins all that is wrong, each with file, line and column. No document
// at all is no error: the Set then refuses every image.
func Load(files []File, builtins []Builtin) (*Set, error) {
	l := &loader{builtins: map[string]*Builtin{}, policies: map[string]strictyaml.Document{},
		exemptions: map[string]strictyaml.Document{}, used: map[string]bool{}}
	for i := range builtins {
		l.builtins[builtins[i].Name] = &builtins[i]
		l.names = append(l.names, builtins[i].Name)
	}
	for _, f := range files {
		docs, err := strictyaml.Documents(f.Name, f.Data)
		l.fail(err)
		for _, doc := range docs {
			l.document(doc)
		}
	}
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	l.finish()
	return &l.set, nil
}

type loader struct {
	set      Set
	builtins map[string]*Builtin
	names    []string // of builtins
	used     map[string]bool
	cel      celCompiler
	rules    int

	policies   map[string]strictyaml.Document // by name, to find duplicates
	exemptions map[string]strictyaml.Document
	canonical  []string // one per document
	suspicions []suspicion
	errs       []error
}

// A suspicion is a warning about a rule id that may yet be defined by a later document.
type suspicion struct {
	exemption, rule string
	at              *strictyaml.Error
}

func (l *loader) fail(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

func (l *loader) failAt(doc strictyaml.Document, path []any, format string, args ...any) {
	l.fail(doc.Errorf(path, format, args...))
}

// warn notes an oddity at path.
func (l *loader) warn(doc strictyaml.Document, path []any, format string, args ...any) {
	l.set.warnings = append(l.set.warnings, doc.Errorf(path, format, args...).Error())
}

func (l *loader) document(doc strictyaml.Document) {
	if v := doc.Field("apiVersion"); v != apiVersion {
		l.failAt(doc, []any{"apiVersion"}, "apiVersion is %q; want %s", v, apiVersion)
		return
	}
	switch kind := doc.Field("kind"); kind {
	case kindPolicy:
		l.policy(doc)
	case kindExemption:
		l.exemption(doc)
	default:
		l.failAt(doc, []any{"kind"}, "kind is %q; want %s or %s", kind, kindPolicy, kindExemption)
		return
	}
	var plain any
	if err := doc.Decode(&plain); err != nil {
		l.fail(err)
		return
	}
	b, err := json.Marshal(plain) // keys sorted, comments and layout gone
	if err != nil {
		l.failAt(doc, nil, "holds a number that is not finite")
		return
	}
	l.canonical = append(l.canonical, string(b))
}

// name checks metadata.name and that no other document of the kind has it.
func (l *loader) name(doc strictyaml.Document, kind, name string, seen map[string]strictyaml.Document) {
	path := []any{"metadata", "name"}
	if !identifier.MatchString(name) {
		l.failAt(doc, path, "metadata.name is %q; want up to 63 letters, digits, dots, dashes and underscores", name)
		return
	}
	if first, ok := seen[name]; ok {
		line, _ := first.Position(path...)
		l.failAt(doc, path, "%s %q is defined twice; the first is in %s, line %d", kind, name, first.File(), line)
		return
	}
	seen[name] = doc
}

// patterns parses the list at path.
func (l *loader) patterns(doc strictyaml.Document, list []string, path ...any) []Pattern {
	var out []Pattern
	for i, s := range list {
		at := append(slices.Clone(path), i)
		p, err := ParsePattern(s)
		if err != nil {
			l.failAt(doc, at, "%v", err)
			continue
		}
		if why := p.unlikely(); why != "" {
			l.warn(doc, at, "%s", why)
		}
		out = append(out, p)
	}
	return out
}

func (l *loader) exemption(doc strictyaml.Document) {
	var d exemptionDocument
	if err := doc.Decode(&d); err != nil {
		l.fail(err)
		return
	}
	l.name(doc, "exemption", d.Metadata.Name, l.exemptions)
	for _, missing := range []struct {
		key   string
		empty bool
		want  string
	}{
		{"images", len(d.Spec.Images) == 0, "the images it is for"},
		{"rules", len(d.Spec.Rules) == 0, "the ids of the rules that may be broken"},
		{"reason", strings.TrimSpace(d.Spec.Reason) == "", "why it is given"},
		{"approvedBy", strings.TrimSpace(d.Spec.ApprovedBy) == "", "who takes responsibility"},
		{"expires", d.Spec.Expires.IsZero(), "when it ends, e.g. 2027-01-31T00:00:00Z"},
	} {
		if missing.empty {
			l.failAt(doc, []any{"spec", missing.key}, "spec.%s is missing: %s", missing.key, missing.want)
		}
	}
	for i, v := range d.Spec.Vulnerabilities {
		if strings.TrimSpace(v) == "" {
			l.failAt(doc, []any{"spec", "vulnerabilities", i}, "an advisory id is empty")
		}
	}
	for i, id := range d.Spec.Rules {
		at := doc.Errorf([]any{"spec", "rules", i}, "exemption %s names rule %q, which no policy defines", d.Metadata.Name, id)
		l.suspicions = append(l.suspicions, suspicion{d.Metadata.Name, id, at})
	}
	l.set.exemptions = append(l.set.exemptions, &Exemption{
		Name: d.Metadata.Name, Images: d.Spec.Images, Rules: d.Spec.Rules, Vulnerabilities: d.Spec.Vulnerabilities,
		Reason: d.Spec.Reason, ApprovedBy: d.Spec.ApprovedBy, Expires: d.Spec.Expires.UTC(),
		patterns: l.patterns(doc, d.Spec.Images, "spec", "images"),
	})
}

// finish puts the loaded documents in an order that files have no part in, and derives the rest.
func (l *loader) finish() {
	slices.SortFunc(l.set.policies, func(a, b *loadedPolicy) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(l.set.exemptions, func(a, b *Exemption) int { return cmp.Compare(a.Name, b.Name) })
	defined := map[string]bool{}
	for _, p := range l.set.policies {
		for _, r := range p.rules {
			defined[r.id] = true
			if r.expression != nil {
				l.set.reads.addClient(r.expression.reads)
			}
		}
	}
	for _, s := range l.suspicions {
		if !defined[s.rule] {
			l.set.warnings = append(l.set.warnings, s.at.Error())
		}
	}
	l.set.revision = l.revision()
}

func (l *loader) revision() string {
	h := sha256.New()
	fmt.Fprintf(h, "engine %d\n", engineRevision)
	for _, name := range l.names {
		if l.used[name] {
			l.canonical = append(l.canonical, fmt.Sprintf("builtin %s %d", name, l.builtins[name].Revision))
		}
	}
	slices.Sort(l.canonical)
	for _, c := range l.canonical {
		fmt.Fprintf(h, "%d:%s\n", len(c), c)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
