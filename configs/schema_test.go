package configs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	reflector "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/winnow-registry/winnow/configs"
)

var update = flag.Bool("update", false, "write schema/config.schema.json anew")

// schemaID is where the schema would be found; editors take the file.
const schemaID = "https://winnow-registry.github.io/schema/config.schema.json"

func generateSchema(t *testing.T) []byte {
	t.Helper()
	r := &reflector.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true, // no key is required: each has a default
		Mapper: func(t reflect.Type) *reflector.Schema {
			switch t {
			case reflect.TypeFor[configs.Duration]():
				return &reflector.Schema{Type: "string", Pattern: `^([0-9]+d)?([0-9.]+(h|m|s|ms|us|µs|ns))*$|^0$`, Examples: []any{"60s", "24h", "7d"}}
			case reflect.TypeFor[configs.Size]():
				return &reflector.Schema{OneOf: []*reflector.Schema{
					{Type: "integer", Minimum: "0"}, {Type: "string", Pattern: `^[0-9.]+ ?([KMGT]iB|[kKMGT]B|B)?$`},
				}, Examples: []any{"50GiB", "20GB", 1048576}}
			}
			return nil
		},
	}
	if err := r.AddGoComments("github.com/winnow-registry/winnow/configs", "./", reflector.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for k, v := range r.CommentMap {
		r.CommentMap[k] = strings.Join(strings.Fields(v), " ")
	}
	s := r.Reflect(&configs.Config{})
	s.ID, s.Title = schemaID, "Winnow configuration"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	want := generateSchema(t)
	if *update {
		if err := os.WriteFile("schema/config.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, configs.Schema()) {
		t.Error("schema/config.schema.json is not what Config says; run: go test ./configs -run TestSchemaIsCurrent -update")
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(configs.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON turns YAML into what a JSON Schema validator reads.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	b, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaAcceptsTheDefaultsAndRefusesUnknownKeys(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	var printed bytes.Buffer
	c := configs.Default()
	if err := configs.Print(&printed, &c); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"winnow.yaml": configs.DefaultYAML(), "config print": printed.Bytes(), "plain size": []byte("store: {maxSize: 12}")} {
		if err := s.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"insecure: true", "upstreams: {ghcr.io: {password: x}}", "tags: {ttl: soon}", "store: {maxSize: -1}"} {
		if s.Validate(asJSON(t, []byte(bad))) == nil {
			t.Errorf("%s passes the schema", bad)
		}
	}
}
