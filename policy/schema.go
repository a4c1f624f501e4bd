package policy

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// schemaID names the schema; it is an identifier, nothing is fetched from it.
const schemaID = "https://winnow-registry.github.io/schema/policy.schema.json"

// Schema returns the JSON Schema (2020-12) of policy documents that may use builtins. $defs/variables lists what
// expressions can read, with types. A document that the schema takes may still be refused by Load, which compiles it.
func Schema(builtins []Builtin) ([]byte, error) {
	policy, exemption := reflectSchema(policyDocument{}), reflectSchema(exemptionDocument{})
	spec, ok := policy.Properties.Get("spec")
	if !ok {
		return nil, fmt.Errorf("making the schema: a policy has no spec")
	}
	rules, _ := spec.Properties.Get("rules")
	rules.Items = &jsonschema.Schema{Ref: "#/$defs/rule"}
	spec.Properties.Set("slim", &jsonschema.Schema{Ref: "#/$defs/slim"})
	root := &jsonschema.Schema{
		Version: jsonschema.Version,
		ID:      schemaID,
		Title:   "Winnow policy documents",
		OneOf:   []*jsonschema.Schema{{Ref: "#/$defs/policy"}, {Ref: "#/$defs/exemption"}},
		Definitions: jsonschema.Definitions{
			"policy": policy, "exemption": exemption, "rule": ruleSchema(builtins), "slim": reflectSchema(Slimming{}),
			"variables": variablesSchema(),
		},
	}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("making the schema: %w", err)
	}
	return append(b, '\n'), nil
}

// ruleSchema is one rule: a built-in rule with its own parameters, or an expression.
func ruleSchema(builtins []Builtin) *jsonschema.Schema {
	s := reflectSchema(ruleFields{})
	s.OneOf = []*jsonschema.Schema{
		{Required: []string{"use"}},
		{Required: []string{"expression"}, Not: &jsonschema.Schema{Required: []string{"with"}}},
	}
	use, _ := s.Properties.Get("use")
	with, _ := s.Properties.Get("with")
	with.Type = "object"
	for _, b := range builtins {
		use.Enum = append(use.Enum, b.Name)
		params := &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.FalseSchema}
		if b.Params != nil {
			params = reflectSchema(b.Params)
		}
		params.Title, params.Description = b.Title, b.Doc
		then := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
		then.Properties.Set("with", params)
		if len(params.Required) > 0 {
			then.Required = []string{"with"}
		}
		named := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"use"}}
		named.Properties.Set("use", &jsonschema.Schema{Const: b.Name})
		s.AllOf = append(s.AllOf, &jsonschema.Schema{If: named, Then: then})
	}
	return s
}

// variablesSchema describes the CEL variables by the types that expressions are checked against.
func variablesSchema() *jsonschema.Schema {
	r := &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "cel",
		LookupComment: func(t reflect.Type, field string) string {
			if t.Kind() != reflect.Struct {
				return ""
			}
			f, _ := t.FieldByName(field)
			return f.Tag.Get("doc")
		},
	}
	s := &jsonschema.Schema{
		Type:        "object",
		Description: "what a CEL expression can read; it is true for an image that complies",
		Properties:  jsonschema.NewProperties(),
	}
	for _, v := range []struct {
		name, doc string
		value     any
	}{
		{"image", "the image that is judged", celImage{}},
		{"request", "what was asked for, and by whom", celRequest{}},
	} {
		typed := r.Reflect(v.value)
		typed.Version, typed.Description = "", v.doc
		s.Properties.Set(v.name, typed)
	}
	s.Properties.Set("now", &jsonschema.Schema{Type: "string", Format: "date-time",
		Description: "the time of the decision; a verdict that read it is made again after an hour"})
	return s
}

func reflectSchema(v any) *jsonschema.Schema {
	r := &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "yaml",
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == reflect.TypeFor[strictyaml.Document]() {
				return &jsonschema.Schema{}
			}
			return nil
		},
	}
	s := r.Reflect(v)
	s.Version = ""
	return s
}
