package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

type level string

func (l *level) UnmarshalText(b []byte) error {
	if s := string(b); s != "low" && s != "high" {
		return fmt.Errorf("unknown level %q: use low or high", s)
	}
	*l = level(b)
	return nil
}

type inner struct {
	Name  string   `yaml:"name"`
	Ports []uint16 `yaml:"ports"`
}

type common struct {
	Kind string `yaml:"kind"`
}

type outer struct {
	common
	MaxSize  int64               `yaml:"maxSize"`
	Ratio    float64             `yaml:"ratio"`
	Enabled  bool                `yaml:"enabled"`
	Hold     time.Duration       `yaml:"hold"`
	Expires  time.Time           `yaml:"expires"`
	Level    level               `yaml:"level"`
	Inner    inner               `yaml:"inner"`
	Optional *inner              `yaml:"optional"`
	Items    []inner             `yaml:"items"`
	Named    map[string]inner    `yaml:"named"`
	With     map[string]any      `yaml:"with"`
	Raw      strictyaml.Document `yaml:"raw"`
	JSON     string              `json:"viaJSON,omitempty"`
	Untagged string
	Hidden   string `yaml:"-"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const doc = `
kind: Policy
maxSize: 20
ratio: 0.5
enabled: true
hold: 25s
expires: 2027-01-31T00:00:00Z
level: high
inner: {name: "1.10", ports: [80, 443]}
optional:
  name: |
    two
    lines
items:
  - name: a
  - {name: b}
named:
  ghcr.io:
  registry.corp:5443: {name: corp}
  404: {name: number}
with: {severity: critical, n: 7, f: 1.5, yes: true, list: [1, x, null], deep: {a: b}, none: null}
viaJSON: x
untagged: y
`
	var got outer
	if err := strictyaml.Decode("f.yaml", []byte(doc), &got); err != nil {
		t.Fatal(err)
	}
	want := outer{
		common: common{Kind: "Policy"}, MaxSize: 20, Ratio: 0.5, Enabled: true, Hold: 25 * time.Second,
		Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), Level: "high",
		Inner:    inner{Name: "1.10", Ports: []uint16{80, 443}},
		Optional: &inner{Name: "two\nlines\n"},
		Items:    []inner{{Name: "a"}, {Name: "b"}},
		Named:    map[string]inner{"ghcr.io": {}, "registry.corp:5443": {Name: "corp"}, "404": {Name: "number"}},
		With: map[string]any{"severity": "critical", "n": int64(7), "f": 1.5, "yes": true, "list": []any{int64(1), "x", nil},
			"deep": map[string]any{"a": "b"}, "none": nil},
		JSON: "x", Untagged: "y",
	}
	opts := cmp.Options{cmp.AllowUnexported(outer{}), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Raw" }, cmp.Ignore())}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Error(diff)
	}
}

func TestAbsentAndNullKeepWhatIsThereAndGivenReplaces(t *testing.T) {
	t.Parallel()
	got := struct {
		Keep  string            `yaml:"keep"`
		Null  string            `yaml:"null"`
		Map   map[string]string `yaml:"map"`
		List  []string          `yaml:"list"`
		Empty []string          `yaml:"empty"`
		In    inner             `yaml:"in"`
	}{Keep: "k", Null: "n", Map: map[string]string{"old": "1"}, List: []string{"old"}, Empty: []string{"old"}, In: inner{Name: "kept"}}
	err := strictyaml.Decode("f", []byte("null:\nmap: {new: '2'}\nlist: [new]\nempty: []\nin: {ports: [1]}\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Keep != "k" || got.Null != "n" || got.In.Name != "kept" {
		t.Errorf("lost a default: %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"new": "2"}, got.Map); diff != "" {
		t.Error(diff)
	}
	if len(got.List) != 1 || got.List[0] != "new" || len(got.Empty) != 0 {
		t.Errorf("lists were not replaced: %+v", got)
	}
}

func TestErrorsNameThePlaceAndTheRemedy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, want string }{
		"unknown key":          {"kind: a\nmaxsize: 3\n", `f.yaml:2:1: unknown key "maxsize"; did you mean "maxSize"?`},
		"misspelt inside":      {"inner:\n  nmae: 3\n", `f.yaml:2:3: unknown key "nmae" in inner; did you mean "name"?`},
		"unlike any key":       {"inner: {insecure: true}\n", `f.yaml:1:9: unknown key "insecure" in inner; known are name, ports`},
		"unknown in a list":    {"items:\n- name: a\n- nme: b\n", `f.yaml:3:3: unknown key "nme" in items[1]; did you mean "name"?`},
		"duplicate":            {"kind: a\nlevel: low\nkind: b\n", `f.yaml:3:1: key "kind" is given twice; the first is on line 1`},
		"duplicate in quotes":  {"kind: a\n\"kind\": b\n", `f.yaml:2:1: key "kind" is given twice; the first is on line 1`},
		"duplicate unread":     {"with: {a: 1, a: 2}\n", `f.yaml:1:14: key "a" is given twice; the first is on line 1`},
		"number for string":    {"kind: 1.10\n", `f.yaml:1:7: kind: wants a string, not the number 1.10; put it in quotes`},
		"bool for string":      {"kind: true\n", `f.yaml:1:7: kind: wants a string, not true; put it in quotes`},
		"string for bool":      {"enabled: yes\n", `f.yaml:1:10: enabled: wants true or false, not "yes"`},
		"string for number":    {"maxSize: many\n", `f.yaml:1:10: maxSize: wants a whole number, not "many"`},
		"too large":            {"inner: {ports: [80, 70000]}\n", `f.yaml:1:21: inner.ports[1]: wants a whole number of 0 or more, not the number 70000`},
		"negative":             {"inner: {ports: [-1]}\n", `f.yaml:1:17: inner.ports[0]: wants a whole number of 0 or more, not the number -1`},
		"nan":                  {"ratio: .nan\n", `f.yaml:1:8: ratio: wants a number, not the number .nan`},
		"list for mapping":     {"inner: [a]\n", `f.yaml:1:8: inner: wants keys and values, not a list`},
		"mapping for list":     {"items:\n  name: a\n", `f.yaml:2:3: items: wants a list, not keys and values`},
		"mapping for string":   {"kind:\n  a: b\n", `f.yaml:2:3: kind: wants a string, not keys and values`},
		"string for mapping":   {"named: x\n", `f.yaml:1:8: named: wants keys and values, not "x"`},
		"unit missing":         {"hold: 25\n", `f.yaml:1:7: hold: wants a duration such as 30s, not the number 25`},
		"bad time":             {"expires: 2027-01-31\n", `f.yaml:1:10: expires: wants a time such as 2027-01-31T00:00:00Z, not "2027-01-31"`},
		"custom type":          {"kind: a\nlevel: middle\n", `f.yaml:2:8: level: unknown level "middle": use low or high`},
		"custom type mapping":  {"level: {a: b}\n", `f.yaml:1:8: level: wants a single value, not keys and values`},
		"empty element":        {"items:\n- name: a\n-\n", `f.yaml:3:3: items[1] is empty`},
		"dash without value":   {"items:\n- name: a\n-\nkind: b\n", `f.yaml:3:1: this list element is empty`},
		"tag that ends a file": {"kind: !a", `f.yaml:1:7: tags (!name) are not supported; put a value that begins with ! in quotes`},
		"scalar document":      {"hello\n", `f.yaml:1:1: wants keys and values, not "hello"`},
		"second document":      {"kind: a\n---\nkind: b\n", `f.yaml:3:1: a second document begins here; this file holds one`},
		"anchor":               {"kind: &a x\n", `f.yaml:1:7: anchors (&name) are not supported; put a value that begins with & in quotes`},
		"alias":                {"items: [**]\n", `f.yaml:1:9: aliases (*name) are not supported; put a value that begins with * in quotes`},
		"tag":                  {"kind: !!binary eA==\n", `f.yaml:1:7: tags (!name) are not supported; put a value that begins with ! in quotes`},
		"merge key":            {"inner:\n  <<: {name: a}\n", `f.yaml:2:3: merge keys (<<) are not supported; write the keys out`},
		"key that is a list":   {"[a]: b\n", ``},
		"hidden field":         {"Hidden: x\n", ``},
		"key with case":        {"Kind: x\n", `f.yaml:1:1: unknown key "Kind"; did you mean "kind"?`},
		"control characters":   {"kind: a\n\"ki\\u001b[2Jnd\\n\": b\n", ``},
		"invalid UTF-8":        {"kind: \xff\n", `f.yaml: is not UTF-8 text`},
		"zero byte":            {"kind: \x00\n", `f.yaml: holds a zero byte`},
		"flow never closed":    {"inner: {name: a\n", ``},
		"tab for indentation":  {"inner:\n\tname: a\n", ``},
		"quote never closed":   {"kind: \"a\n", ``},
		"too large a file":     {"# " + strings.Repeat("x", 1<<20), `f.yaml: is larger than 1048576 bytes; split it`},
		"nested flow":          {"with: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), ``},
		"nested dashes":        {"with:\n " + strings.Repeat("- ", 5000) + "a\n", ``},
		"nested blocks":        {nestedBlocks(80), ``},
		"too many documents":   {strings.Repeat("kind: a\n---\n", 1100), ``},
		"directive":            {"%YAML 1.1\n---\nkind: a\n", `f.yaml:1:1: directives (%NAME) are not supported`},
		"explicit key":         {"? kind\n: a\n", `f.yaml:1:1: explicit keys (?) are not supported; write key: value`},
		"alias as suggested":   {"kind: *\n", ``},
		"long value":           {"maxSize: " + strings.Repeat("é", 200), `f.yaml:1:10: maxSize: wants a whole number, not "` + strings.Repeat("é", 40) + `…"`},
		"number beyond 64 bit": {"maxSize: 99999999999999999999\n", ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := strictyaml.Decode("f.yaml", []byte(test.in), &outer{})
			if err == nil {
				t.Fatal("no error")
			}
			if e := (*strictyaml.Error)(nil); !errors.As(err, &e) || e.File != "f.yaml" {
				t.Errorf("%#v is not an *Error of the file", err)
			}
			if got := err.Error(); test.want != "" && got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			} else if strings.ContainsAny(got, "\n\r\x1b") || len(got) > 300 {
				t.Errorf("not one clear line: %q", got)
			}
			t.Log(err)
		})
	}
}

func nestedBlocks(n int) string {
	var b strings.Builder
	b.WriteString("with:\n")
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

func TestEmptyDocumentsHoldNothing(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "\n", "# only a comment\n", "---\n", "---\n---\n", "null\n", "\ufeff", "~\n...\n"} {
		docs, err := strictyaml.Documents("f", []byte(in))
		if err != nil || len(docs) != 0 {
			t.Errorf("%q: %d documents, %v", in, len(docs), err)
		}
		got := outer{MaxSize: 7}
		if err := strictyaml.Decode("f", []byte(in), &got); err != nil || got.MaxSize != 7 {
			t.Errorf("%q: %v, %+v", in, err, got)
		}
	}
}

func TestDocumentsAreSeparate(t *testing.T) {
	t.Parallel()
	docs, err := strictyaml.Documents("f", []byte("---\nkind: Policy\n---\n# nothing\n---\nkind: Exemption\nmetadata:\n  name: x\n"))
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	if docs[0].Field("kind") != "Policy" || docs[1].Field("kind") != "Exemption" || docs[1].Field("absent") != "" {
		t.Error("kinds are not told apart")
	}
	if line, col := docs[1].Position("metadata", "name"); line != 8 || col != 9 {
		t.Errorf("metadata.name is at %d:%d", line, col)
	}
}

func TestNoDocumentIsDropped(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"a: 1\n---\n---\nb: 2\n", "a: 1\n--- # nothing\n---\nb: 2\n", "a: 1\n---\n# x\n\n---\n---\n---\nb: 2\n---\n",
		"a: 1\n...\n---\nb: 2\n", "---\na: 1\n...\n# x\n...\n---\nb: 2\n...\n", "a: 1\n...\nb: 2\n", "--- {a: 1}\n--- {b: 2}\n",
	} {
		docs, err := strictyaml.Documents("f", []byte(in))
		if err != nil || len(docs) != 2 {
			t.Errorf("%q: %d documents, %v", in, len(docs), err)
			continue
		}
		got := struct{ A, B int }{}
		if err := errors.Join(docs[0].Decode(&got), docs[1].Decode(&got)); err != nil || got.A != 1 || got.B != 2 {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	docs, err := strictyaml.Documents("f", []byte("a:\n  b: [1, {c: d}]\n  e:\n  f: |\n    text\n  g:\n  - h\n  - i: j\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path      []any
		line, col int
	}{
		{nil, 1, 1},
		{[]any{"a"}, 2, 3},
		{[]any{"a", "b"}, 2, 6},
		{[]any{"a", "b", 0}, 2, 7},
		{[]any{"a", "b", 1, "c"}, 2, 14},
		{[]any{"a", "b", 9}, 2, 6}, // the last that is there
		{[]any{"a", "e"}, 3, 3},    // null: its key
		{[]any{"a", "g", 1, "i"}, 8, 8},
		{[]any{"a", "absent", "deeper"}, 2, 3},
		{[]any{"a", "b", 1.5}, 2, 6},
	} {
		if line, col := docs[0].Position(test.path...); line != test.line || col != test.col {
			t.Errorf("%v is at %d:%d, want %d:%d", test.path, line, col, test.line, test.col)
		}
	}
	if line, col := (strictyaml.Document{}).Position("a"); line != 0 || col != 0 {
		t.Errorf("empty document: %d:%d", line, col)
	}
	if got := docs[0].Errorf([]any{"a", "b"}, "no %s", "good").Error(); got != "f:2:6: no good" {
		t.Error(got)
	}
}

func TestRawValueKeepsItsPlaceAndPath(t *testing.T) {
	t.Parallel()
	var o outer
	if err := strictyaml.Decode("f", []byte("kind: a\nraw:\n  nmae: x\n"), &o); err != nil {
		t.Fatal(err)
	}
	if line, col := o.Raw.Position("nmae"); line != 3 || col != 9 {
		t.Errorf("at %d:%d", line, col)
	}
	err := o.Raw.Decode(&inner{})
	if want := `f:3:3: unknown key "nmae" in raw; did you mean "name"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !(outer{}).Raw.Empty() || o.Raw.Empty() {
		t.Error("empty raw value not told from a given one")
	}
}

func TestDecodeWantsAPointer(t *testing.T) {
	t.Parallel()
	if err := strictyaml.Decode("f", []byte("kind: a"), outer{}); err == nil {
		t.Error("no error for a struct")
	}
	if err := strictyaml.Decode("f", []byte("kind: a"), (*outer)(nil)); err == nil {
		t.Error("no error for a nil pointer")
	}
	if err := strictyaml.Decode("f", []byte("a: 1"), &map[int]int{}); err == nil {
		t.Error("no error for keys that are no strings")
	}
	if err := strictyaml.Decode("f", []byte("1"), &map[int]int{}); err == nil {
		t.Error("no error for a map from a number")
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"url", "private", "passwordFile", "caFile"}
	for word, want := range map[string]string{
		"URL": "url", "privat": "private", "pasword-file": "passwordFile", "password": "", "insecure": "", "ulr": "url",
		"x": "", "cafile": "caFile", "": "", strings.Repeat("a", 1000): "",
	} {
		if got := strictyaml.Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"kind: a\nmaxSize: 3\n", "a: [1, {b: c}]\n---\n- x\n", "? a\n: b\n", "a: |\n  x\n b: >-\n  y", "{a: b, c: [}", "- - - a",
		"a: &x [*x]", "\"\\u263a\": '''", "a:\n\t- b", "a: !!map {}\n", "%YAML 1.2\n---\n", "a: 0x1f\nb: .inf\nc: 1e3\n", "[a]: b", "a: {\n", ": x", "- ? a",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := strictyaml.Documents("f", data)
		if err != nil {
			if e := (*strictyaml.Error)(nil); !errors.As(err, &e) || strings.ContainsAny(e.Error(), "\n\r\x1b\x00") {
				t.Fatalf("not one line with a place: %q", err)
			}
			return
		}
		for _, d := range docs {
			d.Position("a", 0, "b")
			d.Field("kind")
			var o outer
			_ = d.Decode(&o)
			var v any
			if err := d.Decode(&v); err == nil && v == nil && !d.Empty() {
				t.Fatal("a document that holds something became nothing")
			}
		}
	})
}
