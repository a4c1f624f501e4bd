package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// path leads to a value of the configuration: strings are keys, ints elements of a list.
type path []any

// String returns the path as messages write it, e.g. admission.platforms[1].
func (p path) String() string {
	var b strings.Builder
	for i, e := range p {
		switch e := e.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", e)
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, e)
		}
	}
	return b.String()
}

// source knows where each value came from.
type source struct {
	file string
	doc  strictyaml.Document // empty without a file
	env  map[string]string   // the variable that gave a key, by the key's path
}

// errorf returns an error at the place that gave the value at p: a variable, or the file with line and column.
func (s source) errorf(p path, format string, args ...any) error {
	for i := len(p); i > 0; i-- {
		if name, ok := s.env[p[:i].String()]; ok {
			return &strictyaml.Error{File: name, Message: fmt.Sprintf(format, args...)}
		}
	}
	if s.file == "" {
		return &strictyaml.Error{File: "configuration", Message: fmt.Sprintf(format, args...)}
	}
	e := s.doc.Errorf(p, format, args...)
	e.File = s.file
	return e
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
