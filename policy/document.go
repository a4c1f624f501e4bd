package policy

import (
	"time"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// The apiVersion and kinds of policy documents.
const (
	apiVersion    = "winnow/v1"
	kindPolicy    = "Policy"
	kindExemption = "Exemption"
)

// The types below are what a document is decoded into. Their tags are the JSON Schema that users see.

type policyDocument struct {
	APIVersion string       `yaml:"apiVersion" jsonschema:"required,enum=winnow/v1" jsonschema_description:"version of this format"`
	Kind       string       `yaml:"kind" jsonschema:"required,enum=Policy" jsonschema_description:"a set of rules and the images they apply to"`
	Metadata   metadata     `yaml:"metadata" jsonschema:"required"`
	Spec       policyFields `yaml:"spec" jsonschema:"required"`
}

type metadata struct {
	Name string `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9]([A-Za-z0-9._-]{0\\,61}[A-Za-z0-9])?$" jsonschema_description:"unique among the documents of its kind"`
}

type policyFields struct {
	Images imagesFields          `yaml:"images" jsonschema:"required"`
	Mode   string                `yaml:"mode" jsonschema:"enum=enforce,enum=audit,default=enforce" jsonschema_description:"audit: decide and record, serve unchanged"`
	Rules  []strictyaml.Document `yaml:"rules" jsonschema_description:"without a rule every image the policy includes is refused"`
	Slim   strictyaml.Document   `yaml:"slim" jsonschema_description:"how images are slimmed where a rule has action slim"`
}

type imagesFields struct {
	Include []string `yaml:"include" jsonschema:"required,minItems=1" jsonschema_description:"doublestar patterns over upstream/repository[:tag|@digest]; ** is every image; * stays between slashes"`
	Exclude []string `yaml:"exclude" jsonschema_description:"patterns of images that the policy leaves to others; an image that no policy includes is refused"`
}

type ruleFields struct {
	ID         string              `yaml:"id" jsonschema:"required,pattern=^[A-Za-z0-9]([A-Za-z0-9._-]{0\\,61}[A-Za-z0-9])?$" jsonschema_description:"stands first in the message a client sees; unique in the policy"`
	Use        string              `yaml:"use" jsonschema_description:"a built-in rule, see winnow policy rules"`
	With       strictyaml.Document `yaml:"with" jsonschema_description:"parameters of the built-in rule"`
	Expression string              `yaml:"expression" jsonschema:"minLength=1,maxLength=8192" jsonschema_description:"CEL, true for an image that complies; the variables are in $defs/variables"`
	Message    string              `yaml:"message" jsonschema:"maxLength=512" jsonschema_description:"what is wrong with an image that breaks the rule, without its name: runs as root"`
	Severity   Severity            `yaml:"severity" jsonschema:"enum=info,enum=low,enum=medium,enum=high,enum=critical" jsonschema_description:"default: the built-in rule's, or medium"`
	Action     Action              `yaml:"action" jsonschema:"required,enum=warn,enum=slim,enum=deny" jsonschema_description:"warn: say so; slim: admit if slimming mends it, else refuse; deny: refuse"`
}

// Slimming is the slim block of a policy: how an image is made smaller where a rule asks for it.
type Slimming struct {
	Policy  string   `yaml:"-"`
	Profile string   `yaml:"profile" jsonschema:"enum=strip,enum=packages,default=strip" jsonschema_description:"strip: caches, documentation and what no program needs; packages: unused packages as well"`
	Layout  string   `yaml:"layout" jsonschema:"enum=shared,enum=rewrite,default=shared" jsonschema_description:"shared: keep layers that need no change; rewrite: one new layer"`
	Shell   string   `yaml:"shell" jsonschema:"enum=keep,enum=auto,enum=drop,default=auto" jsonschema_description:"whether shells stay; auto: where something in the image needs one"`
	Keep    []string `yaml:"keep" jsonschema_description:"absolute paths or patterns that are never removed"`
	Remove  []string `yaml:"remove" jsonschema_description:"absolute paths or patterns that are always removed; keep wins"`
	User    string   `yaml:"user" jsonschema_description:"uid or uid:gid the slimmed image runs as; empty: unchanged"`
}

type exemptionDocument struct {
	APIVersion string          `yaml:"apiVersion" jsonschema:"required,enum=winnow/v1" jsonschema_description:"version of this format"`
	Kind       string          `yaml:"kind" jsonschema:"required,enum=Exemption" jsonschema_description:"a named, reasoned, expiring permission to break given rules for given images"`
	Metadata   metadata        `yaml:"metadata" jsonschema:"required"`
	Spec       exemptionFields `yaml:"spec" jsonschema:"required"`
}

type exemptionFields struct {
	Images          []string  `yaml:"images" jsonschema:"required,minItems=1" jsonschema_description:"doublestar patterns, as in a policy; a digest is the safest"`
	Rules           []string  `yaml:"rules" jsonschema:"required,minItems=1" jsonschema_description:"ids of the rules that may be broken"`
	Vulnerabilities []string  `yaml:"vulnerabilities" jsonschema_description:"only these advisories; default: whatever the rule finds"`
	Reason          string    `yaml:"reason" jsonschema:"required,minLength=1" jsonschema_description:"why, for whoever reads the audit log"`
	ApprovedBy      string    `yaml:"approvedBy" jsonschema:"required,minLength=1" jsonschema_description:"who takes responsibility"`
	Expires         time.Time `yaml:"expires" jsonschema:"required" jsonschema_description:"when the permission ends, RFC 3339"`
}

// An Exemption is a named, reasoned, expiring permission to break given rules for given images.
type Exemption struct {
	Name            string
	Images          []string // as written
	Rules           []string
	Vulnerabilities []string // empty: whatever the rules find
	Reason          string
	ApprovedBy      string
	Expires         time.Time

	patterns []Pattern
}
