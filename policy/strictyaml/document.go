package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxSize bounds one file: a policy of a thousand rules is a fifth of it, and the parser needs some hundred times
	// its input in memory.
	maxSize = 1 << 20
	// maxDepth bounds how deep values nest, because parser and decoder recurse. A policy nests six deep.
	maxDepth = 64
	// maxDocuments bounds the documents of one file.
	maxDocuments = 1024
)

// A Document is one YAML document, or a value inside one: a struct field of type Document takes its value undecoded. The
// zero Document is empty.
type Document struct {
	file string
	node ast.Node // nil when empty
	key  *token.Token
	path string // from the root of the document, for messages
}

// Documents parses data, the content of the file that messages name. Documents that hold nothing are left out. Any error
// is an *Error.
func Documents(file string, data []byte) ([]Document, error) {
	switch {
	case len(data) > maxSize:
		return nil, &Error{File: file, Message: fmt.Sprintf("is larger than %d bytes; split it", maxSize)}
	case !utf8.Valid(data):
		return nil, &Error{File: file, Message: "is not UTF-8 text"}
	case bytes.IndexByte(data, 0) >= 0:
		return nil, &Error{File: file, Message: "holds a zero byte"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	// Without a line end after it, the lexer drops what it takes for a tag.
	tokens := lexer.Tokenize(string(data) + "\n")
	if err := checkTokens(file, tokens); err != nil {
		return nil, err
	}
	var docs []Document
	for _, part := range split(tokens) {
		doc, err := parse(file, part)
		if err != nil {
			return nil, err
		}
		if doc.Empty() {
			continue
		}
		if len(docs) == maxDocuments {
			return nil, at(file, start(doc.node), fmt.Sprintf("more than %d documents in one file", maxDocuments))
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// split cuts tokens into documents. The parser, given several, drops all that follow an empty one.
func split(tokens token.Tokens) []token.Tokens {
	var parts []token.Tokens
	first := 0
	for i, tk := range tokens {
		switch tk.Type {
		case token.DocumentHeaderType:
			if i > first {
				parts = append(parts, tokens[first:i])
			}
			first = i
		case token.DocumentEndType:
			parts = append(parts, tokens[first:i+1])
			first = i + 1
		}
	}
	return append(parts, tokens[first:])
}

// parse parses the tokens of one document.
func parse(file string, tokens token.Tokens) (Document, error) {
	// Duplicate keys are checkNode's to find: it says where the first one is.
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return Document{}, syntaxError(file, err)
	}
	doc := Document{file: file}
	for _, d := range parsed.Docs {
		if d.Body == nil {
			continue
		}
		if doc.node != nil {
			return Document{}, at(file, start(d.Body), "a second document begins here without --- before it")
		}
		if err := checkNode(file, d.Body, 0); err != nil {
			return Document{}, err
		}
		doc.node = d.Body
	}
	return doc, nil
}

// Decode decodes the only document of data into into, as Document.Decode does. Data without a document leaves
// into as it is.
func Decode(file string, data []byte, into any) error {
	docs, err := Documents(file, data)
	if err != nil || len(docs) == 0 {
		return err
	}
	if len(docs) > 1 {
		return at(file, start(docs[1].node), "a second document begins here; this file holds one")
	}
	return docs[0].Decode(into)
}

// File returns the name of the file the document is from.
func (d Document) File() string { return d.file }

// Empty reports whether the document holds nothing, or null.
func (d Document) Empty() bool { return d.node == nil || isNull(d.node) }

// Field returns the string under a key of the document, and "" when there is none: a look at apiVersion or kind
// before it is known what to decode into.
func (d Document) Field(key string) string {
	_, v, _ := child(d.node, key)
	switch v := v.(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	}
	return ""
}

// Position returns where the value at path stands: strings name keys, ints number the elements of a list from 0. Where
// the path leads nowhere it is the place of the last part that is there. An empty Document has the position 0, 0.
func (d Document) Position(path ...any) (line, column int) {
	tk, node := d.key, d.node
	if node != nil && !isNull(node) {
		tk = start(node)
	}
	for _, p := range path {
		key, v, ok := child(node, p)
		if !ok {
			break
		}
		node, tk = v, key
		if v != nil && !isNull(v) {
			tk = start(v)
		}
	}
	if tk == nil || tk.Position == nil {
		return 0, 0
	}
	return tk.Position.Line, tk.Position.Column
}

// Errorf returns an *Error at the value at path (see Position), its message formatted as by fmt.Sprintf.
func (d Document) Errorf(path []any, format string, args ...any) *Error {
	line, column := d.Position(path...)
	return &Error{File: d.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// child returns the value under p, a key or an index, and the token of its key.
func child(n ast.Node, p any) (*token.Token, ast.Node, bool) {
	switch p := p.(type) {
	case string:
		for _, pair := range pairs(n) {
			if name, ok := keyName(pair.Key); ok && name == p {
				return pair.Key.GetToken(), pair.Value, true
			}
		}
	case int:
		if s, ok := n.(*ast.SequenceNode); ok && p >= 0 && p < len(s.Values) {
			return s.Values[p].GetToken(), s.Values[p], true
		}
	}
	return nil, nil, false
}

// pairs returns the entries of a mapping, nil for other nodes.
func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// keyName returns what a key says. Keys are strings, and other scalars mean their text.
func keyName(k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	case *ast.NullNode:
		tk := k.GetToken()
		return tk.Value, tk.Type == token.NullType
	}
	return "", false
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

// start returns the first token of a value: a mapping's own token is the colon after its first key.
func start(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

func at(file string, tk *token.Token, message string) *Error {
	e := &Error{File: file, Message: message}
	if tk != nil && tk.Position != nil {
		e.Line, e.Column = tk.Position.Line, tk.Position.Column
	}
	return e
}

// syntaxError puts the parser's error on one line: its own text quotes the source over several.
func syntaxError(file string, err error) *Error {
	if y := yaml.Error(nil); errors.As(err, &y) {
		return at(file, y.GetToken(), y.GetMessage())
	}
	return &Error{File: file, Message: err.Error()}
}
