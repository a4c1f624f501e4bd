package policy

import (
	"context"
	"errors"
	"time"
)

type Set struct{}

func Load(files []File, builtins []Builtin) (*Set, error) { return nil, errors.ErrUnsupported }
func (s *Set) Revision() string                            { return "" }
func (s *Set) Warnings() []string                          { return nil }
func (s *Set) Scope(ref Reference, who Requester) string   { return "" }
func (s *Set) Needs(ref Reference) Stage                   { return StageConfig }
func (s *Set) Slims(ref Reference) bool                    { return false }
func (s *Set) Evaluate(ctx context.Context, c Contents, who Requester, now time.Time) (*Verdict, error) {
	return nil, errors.ErrUnsupported
}
func Refusal(v *Verdict, ref Reference, whyURL string) string { return "" }
func WhyID(v *Verdict) string                                  { return "" }
func Schema(builtins []Builtin) ([]byte, error)                { return nil, errors.ErrUnsupported }
