package main

import (
	"cmp"
	"strings"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/proxy/admission"
)

// A checkReport is what winnow check -o json prints. Fields are added, never changed.
type checkReport struct {
	Target   string          `json:"target"`   // as on the command line
	Decision policy.Decision `json:"decision"` // the strictest of all images
	Policy   string          `json:"policy"`   // revision of the policies
	Images   []checkedImage  `json:"images"`   // an index stands before its images
}

// A checkedImage is one image or index that was judged.
type checkedImage struct {
	Reference  string             `json:"reference"` // name:tag without the digest, or name@digest
	Digest     string             `json:"digest"`
	Index      string             `json:"index,omitempty"`   // digest of the index that lists it
	ImageID    string             `json:"imageID,omitempty"` // digest of the configuration, as docker images prints it
	Kind       policy.Kind        `json:"kind,omitempty"`
	MediaType  string             `json:"mediaType,omitempty"`
	Platform   string             `json:"platform,omitempty"`
	Decision   policy.Decision    `json:"decision"`
	WouldBe    policy.Decision    `json:"wouldBe,omitempty"` // with policies in mode audit counted, where it differs
	Reason     string             `json:"reason,omitempty"`  // of a refusal that no rule explains
	Policies   []string           `json:"policies"`          // that include the image
	Violations []policy.Violation `json:"violations"`        // exempted ones and warnings too
	Notes      []string           `json:"notes,omitempty"`   // what limits the result, for people
}

func (r *checkReport) add(checked []admission.Checked, made bool) {
	for _, c := range checked {
		ref := c.Reference
		if ref.Tag != "" {
			ref.Digest = ""
		}
		v := c.Verdict
		image := checkedImage{
			Reference: ref.String(), Digest: c.Reference.Digest, Index: c.Reference.Index, ImageID: c.ImageID, Kind: c.Kind,
			MediaType: v.MediaType, Platform: c.Platform.String(), Decision: v.Decision, WouldBe: v.WouldBe, Reason: v.Reason,
			Policies: append([]string{}, v.Policies...), Violations: append([]policy.Violation{}, v.Violations...),
		}
		if made {
			image.Notes = append(image.Notes, "the file holds no manifest: digest and sizes are of one made here, and those after a push may differ")
		}
		if c.Missed != nil {
			image.Notes = append(image.Notes, "checked in part only: "+c.Missed.Error())
		}
		if v.Decision == policy.Slim {
			image.Notes = append(image.Notes, "winnow serve of this version cannot slim yet, and refuses it")
		}
		r.Images = append(r.Images, image)
	}
}

// writeText prints the report for people.
func (r *checkReport) writeText(t *terminal) error {
	for i, image := range r.Images {
		if i > 0 {
			t.line("")
		}
		t.line("%s", t.bold(image.Reference))
		t.field("digest", image.Digest)
		t.field("image ID", image.ImageID)
		t.field("platform", image.Platform)
		t.field("policies", strings.Join(image.Policies, ", "))
		t.line("  %-9s %s", "decision", t.decision(image.Decision))
		if image.WouldBe != "" {
			t.field("would be", string(image.WouldBe)+", if policies in mode audit were enforced")
		}
		t.field("reason", image.Reason)
		for _, note := range image.Notes {
			t.field("note", note)
		}
		for _, v := range image.Violations {
			writeViolation(t, v)
		}
	}
	return t.err
}

func writeViolation(t *terminal, v policy.Violation) {
	t.line("")
	t.line("  %s  %s  %s: %s", t.action(v), v.Severity, t.bold(v.Rule), plain(v.Message))
	for _, e := range v.Evidence {
		t.detail("found", e)
	}
	t.detail("controls", strings.Join(v.Controls, ", "))
	t.detail("advice", v.Advice)
	t.detail("rule", cmp.Or(v.Use, "expression")+" in policy "+v.Policy)
	if v.Exemption != "" {
		t.detail("exempted", "by "+v.Exemption+"; without effect")
	}
	if v.AuditOnly {
		t.detail("audit", "the policy is in mode audit; without effect")
	}
}
