package rules_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/policy/strictyaml"
)

var update = flag.Bool("update", false, "write the published schema anew")

const published = "../../configs/schema/policy.schema.json"

func TestPublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := policy.Schema(rules.All())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(published, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the rules say now; run go test ./policy/rules -run Schema -update", published)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := policy.Schema(rules.All())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decodeAll(t *testing.T, name string, data []byte) []any {
	t.Helper()
	docs, err := strictyaml.Documents(name, data)
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	for _, d := range docs {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func TestSchemaTakesTheSamples(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	files, err := filepath.Glob("../../configs/policies/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d policies: %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range decodeAll(t, file, data) {
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestSchemaRefusesWhatLoadRefuses(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	const head = "apiVersion: winnow/v1\nkind: Policy\nmetadata: {name: x}\nspec:\n  images: {include: [\"**\"]}\n  rules:\n"
	for name, rule := range map[string]string{
		"an unknown built-in rule":            "  - {id: a, use: config.non-rot, action: deny}",
		"a rule without an action":            "  - {id: a, use: config.non-root}",
		"an unknown action":                   "  - {id: a, use: config.non-root, action: block}",
		"both use and expression":             "  - {id: a, use: config.non-root, expression: 'true', action: deny}",
		"neither use nor expression":          "  - {id: a, action: deny}",
		"parameters for an expression":        "  - {id: a, expression: 'true', with: {}, action: deny}",
		"an unknown parameter":                "  - {id: a, use: image.max-age, with: {day: 3}, action: deny}",
		"a missing parameter":                 "  - {id: a, use: image.max-size, action: deny}",
		"parameters for a rule without any":   "  - {id: a, use: config.non-root, with: {x: 1}, action: deny}",
		"a parameter of another type":         "  - {id: a, use: image.max-layers, with: {max: many}, action: deny}",
		"an id that is no identifier":         "  - {id: 'a b', use: config.non-root, action: deny}",
		"an unknown key of the rule":          "  - {id: a, use: config.non-root, action: deny, enabled: false}",
		"a size in a unit that nobody knows":  "  - {id: a, use: image.max-size, with: {max: 5XB}, action: deny}",
		"a severity that nobody knows":        "  - {id: a, use: config.non-root, severity: huge, action: deny}",
		"an upstream list that has no entry":  "  - {id: a, use: reference.allowed-upstreams, with: {allow: []}, action: deny}",
		"a platform list that is not a list":  "  - {id: a, use: image.platforms, with: {allow: linux/amd64}, action: deny}",
		"an age of a negative number of days": "  - {id: a, use: image.min-age, with: {days: -1}, action: deny}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := []byte(head + rule + "\n")
			if err := schema.Validate(decodeAll(t, name, data)[0]); err == nil {
				t.Error("the schema takes it")
			}
			if _, err := policy.Load([]policy.File{{Name: "p.yaml", Data: data}}, rules.All()); err == nil {
				t.Error("Load takes it")
			} else {
				t.Log(err)
			}
		})
	}
}
