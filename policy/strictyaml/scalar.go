package strictyaml

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes n into a string, a bool or a number.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) error {
	if v.Type() == typeOf[time.Duration]() {
		return d.duration(n, v, path)
	}
	switch v.Kind() {
	case reflect.String:
		s, ok := stringValue(n)
		if !ok {
			return d.mismatch(n, path, "a string")
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return d.mismatch(n, path, "true or false")
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, ok := intValue(n)
		if !ok || v.OverflowInt(i) {
			return d.mismatch(n, path, "a whole number")
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, ok := uintValue(n)
		if !ok || v.OverflowUint(u) {
			return d.mismatch(n, path, "a whole number of 0 or more")
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		f, ok := floatValue(n)
		if !ok {
			return d.mismatch(n, path, "a number")
		}
		v.SetFloat(f)
	default:
		return at(d.file, n.GetToken(), label(path)+"cannot be given: its type is "+v.Type().String())
	}
	return nil
}

// duration takes text only: a bare number would count nanoseconds.
func (d *decoder) duration(n ast.Node, v reflect.Value, path string) error {
	s, ok := scalarText(n)
	if !ok {
		return d.mismatch(n, path, "a duration such as 30s")
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		return d.mismatch(n, path, "a duration such as 30s")
	}
	v.SetInt(int64(t))
	return nil
}

func (d *decoder) mismatch(n ast.Node, path, want string) *Error {
	return at(d.file, start(n), fmt.Sprintf("%swants %s, not %s", label(path), want, describe(n, want)))
}

// maxQuoted bounds how much of a value a message repeats: enough to find it.
const maxQuoted = 40

// describe says what a value is, in words that help to mend it.
func describe(n ast.Node, want string) string {
	text, _ := scalarText(n)
	if r := []rune(text); len(r) > maxQuoted {
		text = string(r[:maxQuoted]) + "…"
	}
	quotes := ""
	if want == "a string" {
		quotes = "; put it in quotes"
	}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return text + quotes
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + text + quotes
	}
	return fmt.Sprintf("%q", text)
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// stringValue returns the value of a string, plain, quoted or block.
func stringValue(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// scalarText returns a scalar as it is written in the file.
func scalarText(n ast.Node) (string, bool) {
	if s, ok := stringValue(n); ok {
		return s, true
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func intValue(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		return int64(x), x <= math.MaxInt64
	}
	return 0, false
}

func uintValue(n ast.Node) (uint64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return uint64(x), x >= 0
	case uint64:
		return x, true
	}
	return 0, false
}

func floatValue(n ast.Node) (float64, bool) {
	if f, ok := n.(*ast.FloatNode); ok {
		return f.Value, true
	}
	if i, ok := intValue(n); ok {
		return float64(i), true
	}
	u, ok := uintValue(n)
	return float64(u), ok
}
