package main

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

// The part of SARIF 2.1.0 that is written.
// Source: OASIS, Static Analysis Results Interchange Format 2.1.0, section 3.
const (
	sarifSchema  = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	sarifVersion = "2.1.0"
	// sarifFingerprint names the fingerprint by which systems know a finding again: the rule, the image's name and
	// platform, not its digest.
	sarifFingerprint = "winnowFinding/v1"
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool      `json:"tool"`
	Results    []sarifResult  `json:"results"`
	Properties map[string]any `json:"properties"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID         string         `json:"id"`
	Short      sarifText      `json:"shortDescription"`
	Help       *sarifText     `json:"help,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Properties   map[string]any     `json:"properties"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region struct {
		StartLine int `json:"startLine"`
	} `json:"region"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// sarif turns the report into SARIF: a result for each violation, and one for a refusal that no rule explains.
func (r *checkReport) sarif() *sarifLog {
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name: "winnow", Version: programVersion(), InformationURI: "https://github.com/winnow-registry/winnow", Rules: []sarifRule{},
		}},
		Results:    []sarifResult{},
		Properties: map[string]any{"decision": r.Decision, "policy": r.Policy},
	}
	at := map[string]int{} // index of a rule
	add := func(image checkedImage, v policy.Violation) {
		i, known := at[v.Rule]
		if !known {
			i = len(run.Tool.Driver.Rules)
			at[v.Rule] = i
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(v))
		}
		result := r.result(image, v)
		result.RuleIndex = i
		run.Results = append(run.Results, result)
	}
	for _, image := range r.Images {
		for _, v := range image.Violations {
			add(image, v)
		}
		if image.Decision == policy.Deny && image.Reason != "" {
			add(image, policy.Violation{Rule: "refused", Action: policy.ActionDeny, Severity: policy.SeverityHigh, Message: image.Reason})
		}
	}
	return &sarifLog{Schema: sarifSchema, Version: sarifVersion, Runs: []sarifRun{run}}
}

func sarifRuleOf(v policy.Violation) sarifRule {
	rule := sarifRule{ID: v.Rule, Short: sarifText{cmp.Or(v.Use, v.Rule)}, Properties: map[string]any{}}
	if v.Advice != "" {
		rule.Help = &sarifText{v.Advice}
	}
	if len(v.Controls) > 0 {
		rule.Properties["controls"] = v.Controls
	}
	// Code hosts sort findings by this score: middle of the ranges of CVSS 3.1, section 5.
	scores := map[policy.Severity]string{policy.SeverityCritical: "9.5", policy.SeverityHigh: "8.0", policy.SeverityMedium: "5.5", policy.SeverityLow: "2.0", policy.SeverityInfo: "0.0"}
	if score, ok := scores[v.Severity]; ok {
		rule.Properties["security-severity"] = score
		rule.Properties["tags"] = []string{"security", "container"}
	}
	return rule
}

func (r *checkReport) result(image checkedImage, v policy.Violation) sarifResult {
	name := image.Reference
	if image.Platform != "" {
		name += " (" + image.Platform + ")"
	}
	text := name + " " + v.Message
	if len(v.Evidence) > 0 {
		text += ": " + strings.Join(v.Evidence, "; ")
	}
	result := sarifResult{
		RuleID: v.Rule, Level: sarifLevel(v), Message: sarifText{text},
		Fingerprints: map[string]string{sarifFingerprint: v.Policy + "/" + v.Rule + "/" + name},
		Properties: map[string]any{
			"action": v.Action, "severity": v.Severity, "decision": image.Decision, "digest": image.Digest, "policy": v.Policy,
		},
	}
	location := sarifLocation{Logical: []sarifLogical{{name, "module"}}}
	location.Physical.Artifact.URI = (&url.URL{Path: r.Target}).String()
	location.Physical.Region.StartLine = 1 // an image has no lines, and some readers want one
	result.Locations = []sarifLocation{location}
	if v.Exemption != "" {
		result.Suppressions = append(result.Suppressions, sarifSuppression{"external", "exemption " + v.Exemption})
	}
	if v.AuditOnly {
		result.Suppressions = append(result.Suppressions, sarifSuppression{"external", "policy " + v.Policy + " is in mode audit"})
	}
	return result
}

func sarifLevel(v policy.Violation) string {
	switch {
	case v.Action == policy.ActionDeny:
		return "error"
	case v.Severity == policy.SeverityInfo:
		return "note"
	}
	return "warning"
}
