package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// maxDepth of nesting. A real manifest needs 5 levels, a configuration 6; recursion of clients' parsers starts to
	// hurt at some thousands.
	maxDepth = 64
	// maxNodes bounds the work one document can cause: the largest configurations seen have some thousands of values.
	maxNodes = 100_000
	// maxKey is the longest key, bytes. Label and annotation keys are reverse domain names; 1 KiB is generous.
	maxKey = 1024
)

type (
	object = map[string]any
	array  = []any
)

// parseTree reads one JSON document whole. Keys that are equal, or equal when case is folded (encoding/json, which
// most clients use, would take either), refuse the document at any depth, and so does anything after its end.
func parseTree(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, &Error{Problem: "is not valid UTF-8"}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	p := treeParser{dec: dec}
	v, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{Problem: "has data after its end"}
	}
	return v, nil
}

type treeParser struct {
	dec   *json.Decoder
	nodes int
}

func (p *treeParser) value(path string, depth int) (any, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return nil, &Error{Path: path, Problem: "is not valid JSON"}
	}
	if p.nodes++; p.nodes > maxNodes {
		return nil, &Error{Problem: fmt.Sprintf("has more than %d values", maxNodes)}
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth++; depth > maxDepth {
		return nil, &Error{Problem: fmt.Sprintf("is nested deeper than %d", maxDepth)}
	}
	if delim == '{' {
		return p.object(path, depth)
	}
	return p.array(path, depth)
}

func (p *treeParser) object(path string, depth int) (object, error) {
	obj := object{}
	var folded map[string]struct{}
	for p.dec.More() {
		tok, err := p.dec.Token()
		key, ok := tok.(string)
		if err != nil || !ok {
			return nil, &Error{Path: path, Problem: "is not valid JSON"}
		}
		if len(key) > maxKey {
			return nil, &Error{Path: path, Problem: fmt.Sprintf("has a key longer than %d bytes", maxKey)}
		}
		if folded == nil {
			folded = map[string]struct{}{}
		}
		fold := foldKey(key)
		if _, twice := folded[fold]; twice {
			return nil, &Error{Path: path, Problem: fmt.Sprintf("has the key %q twice (case folded)", key)}
		}
		folded[fold] = struct{}{}
		if obj[key], err = p.value(join(path, key), depth); err != nil {
			return nil, err
		}
	}
	return obj, p.end(path)
}

func (p *treeParser) array(path string, depth int) (array, error) {
	list := array{}
	for i := 0; p.dec.More(); i++ {
		v, err := p.value(fmt.Sprintf("%s[%d]", path, i), depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, p.end(path)
}

func (p *treeParser) end(path string) error {
	if _, err := p.dec.Token(); err != nil {
		return &Error{Path: path, Problem: "is not valid JSON"}
	}
	return nil
}

// foldKey maps keys that encoding/json would take for one another to the same string: it folds as that package does,
// with the two letters outside ASCII whose simple folding is ASCII (U+017F and U+212A).
func foldKey(s string) string {
	s = strings.ToLower(s)
	if strings.ContainsAny(s, "\u017f\u212a") {
		s = strings.NewReplacer("\u017f", "s", "\u212a", "k").Replace(s)
	}
	return s
}

func join(path, key string) string {
	if key == "" {
		return path
	}
	if len(key) > 64 {
		key = key[:64] + "…"
	}
	if !plain(key) {
		key = fmt.Sprintf("[%q]", key)
		return path + key
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
