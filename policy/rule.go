package policy

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// rule is one rule of a policy, compiled: a built-in check or an expression.
type rule struct {
	id         string
	policy     string
	use        string
	action     Action
	severity   Severity
	message    string // instead of the check's own; what an expression says
	controls   []string
	advice     string
	stage      Stage
	kinds      []Kind
	check      Check
	expression *expression
}

// applies reports whether the rule judges what c describes, and whether enough of c is known for it. Of an index or
// an artifact nothing beyond the manifest will ever be known.
func (r *rule) applies(c *Contents) (applies, ready bool) {
	kind := c.Image.Kind
	if c.Stage < StageManifest {
		// The kind is not known yet: only a rule that judges all of them can be asked.
		all := slices.Contains(r.kinds, KindImage) && slices.Contains(r.kinds, KindIndex) && slices.Contains(r.kinds, KindArtifact)
		return true, all && c.Stage >= r.stage
	}
	need := r.stage
	if kind != KindImage {
		need = min(need, StageManifest)
	}
	return slices.Contains(r.kinds, kind), c.Stage >= need
}

// question is what one evaluation asks of every rule.
type question struct {
	Input
	vars map[string]any // of expressions; made when the first one is asked
}

func (q *question) variables() map[string]any {
	if q.vars == nil {
		q.vars = map[string]any{
			"image":   imageVariable(&q.Contents.Image),
			"request": requestVariable(q.Contents.Image.Reference, q.Requester),
			"now":     q.Now,
		}
	}
	return q.vars
}

// ask returns what the rule found. An error says that it could not be evaluated.
func (r *rule) ask(ctx context.Context, q *question) (out Outcome, err error) {
	defer func() {
		// A defect in a rule or in CEL must neither stop the registry nor let the image through.
		if p := recover(); p != nil {
			err = fmt.Errorf("the rule broke off: %v", p)
		}
	}()
	if r.expression == nil {
		return r.check(q.Input), nil
	}
	ok, err := r.expression.holds(ctx, &q.Contents.Image, q.variables())
	if err != nil {
		return Outcome{}, err
	}
	if r.expression.reads.now {
		out.Until = q.Now.Add(celClockValidity)
	}
	if !ok {
		out.Message = r.message
	}
	return out, nil
}

// violation makes the record of an outcome that breaks the rule.
func (r *rule) violation(out Outcome) Violation {
	v := Violation{
		Rule: r.id, Policy: r.policy, Use: r.use, Action: r.action, Severity: r.severity,
		Message: clip(clean(out.Message), maxText), Evidence: evidence(out.Findings), Controls: r.controls, Advice: r.advice,
	}
	if r.message != "" {
		v.Message = r.message
	}
	if out.Severity != "" {
		v.Severity = out.Severity
	}
	return v
}

// unevaluated makes the record of a rule that could not be evaluated. It cannot be known that slimming would help.
func (r *rule) unevaluated(err error) Violation {
	v := r.violation(Outcome{})
	v.Message = clip("could not be judged: "+clean(err.Error()), maxText)
	if v.Action == ActionSlim {
		v.Action = ActionDeny
	}
	return v
}

const (
	// maxEvidence bounds the findings that a violation lists: an image with ten thousand of them must not fill the
	// cache with one verdict.
	maxEvidence = 50
	// maxEvidenceLine bounds one finding, in bytes.
	maxEvidenceLine = 300
)

func evidence(findings []Finding) []string {
	var out []string
	for i, f := range findings {
		if i == maxEvidence {
			return append(out, fmt.Sprintf("and %d more", len(findings)-maxEvidence))
		}
		out = append(out, clip(clean(f.Text), maxEvidenceLine))
	}
	return out
}

// sooner returns the earlier of two times, where zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
