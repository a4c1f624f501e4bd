package strictyaml

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// refused says why a token is not read, for those kinds that this package leaves out of YAML.
func refused(t token.Type) string {
	switch t {
	case token.AnchorType:
		return "anchors (&name) are not supported; put a value that begins with & in quotes"
	case token.AliasType:
		return "aliases (*name) are not supported; put a value that begins with * in quotes"
	case token.TagType:
		return "tags (!name) are not supported; put a value that begins with ! in quotes"
	case token.MergeKeyType:
		return "merge keys (<<) are not supported; write the keys out"
	case token.DirectiveType:
		return "directives (%NAME) are not supported"
	case token.MappingKeyType:
		return "explicit keys (?) are not supported; write key: value"
	}
	return ""
}

// checkTokens refuses before parsing what is not read, and nesting that would cost the parser its stack.
func checkTokens(file string, tokens token.Tokens) error {
	depth, dashes := 0, 0
	for i, tk := range tokens {
		if why := refused(tk.Type); why != "" {
			return at(file, tk, why)
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(depth-1, 0) // a bracket too many is the parser's to report
		case token.SequenceEntryType:
			dashes++
			if dashes > maxDepth {
				return at(file, tk, tooDeep())
			}
			if i+1 < len(tokens) && isEmptyElement(tk, tokens[i+1]) {
				return at(file, tk, "this list element is empty")
			}
			continue
		}
		dashes = 0
		if depth > maxDepth {
			return at(file, tk, tooDeep())
		}
	}
	return nil
}

// isEmptyElement reports whether next, the token after a dash, is outside the element: the parser would take a key that
// follows the list for the element's own.
func isEmptyElement(dash, next *token.Token) bool {
	return next.Type != token.SequenceEntryType && next.Type != token.CommentType &&
		next.Position.Line > dash.Position.Line && next.Position.Column <= dash.Position.Column
}

// checkNode refuses nesting deeper than maxDepth, keys that are no scalars, and duplicate keys.
func checkNode(file string, n ast.Node, depth int) error {
	if depth > maxDepth {
		return at(file, n.GetToken(), tooDeep())
	}
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		for _, v := range n.Values {
			if err := checkNode(file, v, depth+1); err != nil {
				return err
			}
		}
	case *ast.MappingNode, *ast.MappingValueNode:
		return checkMapping(file, n, depth)
	case *ast.NullNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.LiteralNode,
		*ast.InfinityNode, *ast.NanNode:
	default:
		return at(file, n.GetToken(), fmt.Sprintf("%s is not supported here", n.Type()))
	}
	return nil
}

func checkMapping(file string, n ast.Node, depth int) error {
	seen := map[string]*token.Token{}
	for _, pair := range pairs(n) {
		tk := pair.Key.GetToken()
		name, ok := keyName(pair.Key)
		if !ok {
			return at(file, tk, "a key must be a word or a quoted string")
		}
		if first := seen[name]; first != nil {
			return at(file, tk, fmt.Sprintf("key %q is given twice; the first is on line %d", name, first.Position.Line))
		}
		seen[name] = tk
		if err := checkNode(file, pair.Value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func tooDeep() string { return fmt.Sprintf("values nest more than %d deep", maxDepth) }
