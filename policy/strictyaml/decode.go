package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Decode decodes the document into into, a non-nil pointer. Keys are matched with their case, by the `yaml` tag of a
// field, else its `json` tag, else its name with a small first letter; an embedded struct without a tag gives its fields
// to the outer one. A key that is absent or null leaves its field as it is, so defaults are what into holds before; a map or
// a list that is given replaces what was there. Types that implement encoding.TextUnmarshaler get the text of
// a scalar. A number is not taken for a string: 1.10 would silently become 1.1 elsewhere. Any error is an *Error.
func (d Document) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &Error{File: d.file, Message: fmt.Sprintf("decoding into %T: want a non-nil pointer", into)}
	}
	if d.node == nil {
		return nil
	}
	return (&decoder{file: d.file}).value(d.node, d.key, v.Elem(), d.path)
}

type decoder struct{ file string }

// typeOf names a Go type that decode treats in a way of its own.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// value decodes n into v. key is the token of the key n stands under, path the way to it, for messages.
func (d *decoder) value(n ast.Node, key *token.Token, v reflect.Value, path string) error {
	if v.Type() == typeOf[Document]() {
		v.Set(reflect.ValueOf(Document{file: d.file, node: n, key: key, path: path}))
		return nil
	}
	if n == nil || isNull(n) {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(n, key, v.Elem(), path)
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return d.text(n, u, path)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.structure(n, v, path)
	case reflect.Map:
		return d.mapping(n, v, path)
	case reflect.Slice:
		return d.list(n, v, path)
	case reflect.Interface:
		return d.anything(n, v, path)
	}
	return d.scalar(n, v, path)
}

func (d *decoder) text(n ast.Node, u encoding.TextUnmarshaler, path string) error {
	s, ok := scalarText(n)
	if !ok {
		return d.mismatch(n, path, "a single value")
	}
	err := u.UnmarshalText([]byte(s))
	if _, isTime := u.(*time.Time); isTime && err != nil {
		return d.mismatch(n, path, "a time such as 2027-01-31T00:00:00Z")
	}
	if err != nil {
		return at(d.file, n.GetToken(), label(path)+err.Error())
	}
	return nil
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path string) error {
	if !isMapping(n) {
		return d.mismatch(n, path, "keys and values")
	}
	fields := map[string]reflect.Value{}
	var names []string
	collect(v, fields, &names)
	for _, pair := range pairs(n) {
		name, _ := keyName(pair.Key)
		f, ok := fields[name]
		if !ok {
			return at(d.file, pair.Key.GetToken(), unknownKey(name, path, names))
		}
		if err := d.value(pair.Value, pair.Key.GetToken(), f, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// unknownKey names the key that was meant, or all there are.
func unknownKey(name, path string, names []string) string {
	where := ""
	if path != "" {
		where = " in " + path
	}
	hint := "; known are " + strings.Join(names, ", ")
	if s := Suggest(name, names); s != "" {
		hint = fmt.Sprintf("; did you mean %q?", s)
	}
	return fmt.Sprintf("unknown key %q%s%s", name, where, hint)
}

// collect lists the fields of a struct by the keys they are written as.
func collect(v reflect.Value, fields map[string]reflect.Value, names *[]string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, tagged := fieldName(f)
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			collect(v.Field(i), fields, names)
		case f.IsExported():
			fields[name] = v.Field(i)
			*names = append(*names, name)
		}
	}
}

// fieldName returns the key of a field, and whether a tag gives it.
func fieldName(f reflect.StructField) (name string, tagged bool) {
	for _, tag := range []string{"yaml", "json"} {
		if name, _, _ = strings.Cut(f.Tag.Get(tag), ","); name != "" {
			return name, true
		}
	}
	return strings.ToLower(f.Name[:1]) + f.Name[1:], false
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) error {
	if !isMapping(n) {
		return d.mismatch(n, path, "keys and values")
	}
	if v.Type().Key().Kind() != reflect.String {
		return at(d.file, n.GetToken(), label(path)+"cannot be given: its type is "+v.Type().String())
	}
	m := reflect.MakeMapWithSize(v.Type(), len(pairs(n)))
	for _, pair := range pairs(n) {
		name, _ := keyName(pair.Key)
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(pair.Value, pair.Key.GetToken(), e, join(path, name)); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
	}
	v.Set(m)
	return nil
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) error {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.mismatch(n, path, "a list")
	}
	list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, e := range s.Values {
		p := path + "[" + strconv.Itoa(i) + "]"
		if isNull(e) && v.Type().Elem().Kind() != reflect.Interface {
			return at(d.file, e.GetToken(), p+" is empty")
		}
		if err := d.value(e, e.GetToken(), list.Index(i), p); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// anything decodes into an interface: map[string]any, []any, string, int64, uint64, float64 or bool.
func (d *decoder) anything(n ast.Node, v reflect.Value, path string) error {
	var out reflect.Value
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		out = reflect.New(typeOf[map[string]any]()).Elem()
		if err := d.mapping(n, out, path); err != nil {
			return err
		}
	case *ast.SequenceNode:
		out = reflect.New(typeOf[[]any]()).Elem()
		if err := d.list(n, out, path); err != nil {
			return err
		}
	case *ast.IntegerNode:
		out = reflect.ValueOf(n.Value)
		if u, ok := n.Value.(uint64); ok && u <= 1<<63-1 {
			out = reflect.ValueOf(int64(u))
		}
	case *ast.FloatNode:
		out = reflect.ValueOf(n.Value)
	case *ast.BoolNode:
		out = reflect.ValueOf(n.Value)
	default:
		s, ok := stringValue(n)
		if !ok {
			return d.mismatch(n, path, "a value")
		}
		out = reflect.ValueOf(s)
	}
	if !out.Type().AssignableTo(v.Type()) {
		return d.mismatch(n, path, "a "+v.Type().String())
	}
	v.Set(out)
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func label(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}
