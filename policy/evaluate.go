package policy

import (
	"context"
	"fmt"
	"time"
)

// Sentences for images that no rule refuses. Like a violation's message they go without the image's name.
const (
	reasonNotIncluded = "is not included by any policy"
	reasonNoRules     = "is included by no policy that has a rule"
)

// Evaluate judges contents by every rule of every policy that includes the image. All violations are in the verdict,
// the exempted ones too, in a fixed order. Where a rule cannot be judged yet, since contents end before it, the
// verdict is partial: a refusal stands, anything else is not an admission. The only error is that ctx ended.
//
// Epoch and inspector of the verdict are the caller's to fill in.
func (s *Set) Evaluate(ctx context.Context, c Contents, who Requester, now time.Time) (*Verdict, error) {
	ref := c.Image.Reference
	v := &Verdict{
		Digest: ref.Digest, Scope: s.Scope(ref, who), Revision: s.revision, Reference: clean(ref.String()),
		MediaType: c.Image.MediaType, Decision: Admit, Decided: now, Partial: c.Stage < StageManifest,
	}
	t := targetOf(ref)
	policies := s.matching(t)
	tally := tally{enforced: Admit, wouldBe: Admit}
	q := &question{Input: Input{Contents: &c, Requester: who, Now: now}}
	rules := 0
	for _, p := range policies {
		v.Policies = append(v.Policies, p.name)
		for _, r := range p.rules {
			rules++
			applies, ready := r.applies(&c)
			if applies && !ready {
				v.Partial = true
			}
			if !applies || !ready {
				continue
			}
			found, until, err := s.judge(ctx, r, q, t)
			if err != nil {
				return nil, err
			}
			v.ValidUntil = sooner(v.ValidUntil, until)
			for _, x := range found {
				x.AuditOnly = p.audit
				tally.count(x)
				v.Violations = append(v.Violations, x)
			}
		}
	}
	switch {
	case len(policies) == 0:
		v.Reason = reasonNotIncluded
		tally = refused
	case rules == 0:
		v.Reason = reasonNoRules
		tally = refused
	}
	v.Decision = tally.enforced
	if tally.wouldBe != tally.enforced {
		v.WouldBe = tally.wouldBe
	}
	return v, nil
}

// judge asks one rule and applies the exemptions. The error is that ctx ended.
func (s *Set) judge(ctx context.Context, r *rule, q *question, t target) ([]Violation, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("evaluating rule %s: %w", r.id, err)
	}
	out, err := r.ask(ctx, q)
	if ctx.Err() != nil { // what an interrupted rule says counts for nothing
		return nil, time.Time{}, fmt.Errorf("evaluating rule %s: %w", r.id, ctx.Err())
	}
	if err != nil {
		found, until := s.exempt(r.unevaluated(err), nil, t, q.Now)
		return found, until, nil
	}
	if out.Message == "" {
		return nil, out.Until, nil
	}
	found, until := s.exempt(r.violation(out), out.Findings, t, q.Now)
	return found, sooner(out.Until, until), nil
}

// tally is the decision so far: with the policies that are enforced, and with those in mode audit as well.
type tally struct{ enforced, wouldBe Decision }

var refused = tally{enforced: Deny, wouldBe: Deny}

func (t *tally) count(v Violation) {
	if v.Exemption != "" {
		return
	}
	d := Admit
	switch v.Action {
	case ActionWarn:
	case ActionSlim:
		d = Slim
	default:
		d = Deny
	}
	t.wouldBe = stricter(t.wouldBe, d)
	if !v.AuditOnly {
		t.enforced = stricter(t.enforced, d)
	}
}

func stricter(a, b Decision) Decision {
	if a == Deny || b == Deny {
		return Deny
	}
	if a == Slim || b == Slim {
		return Slim
	}
	return Admit
}
