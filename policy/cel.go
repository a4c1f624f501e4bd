package policy

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

const (
	// celCostLimit bounds what one evaluation of one expression may cost, in CEL's own units. It is the limit that
	// Kubernetes sets for its admission expressions; it stops a runaway within about 80 ms.
	celCostLimit = 1_000_000
	// celMaxExpression bounds the length of an expression, in code points: longer ones are programs, not rules, and
	// the parser's time grows with it.
	celMaxExpression = 8 << 10
	// celInterruptEvery is how many steps of a loop run between two looks at the context.
	celInterruptEvery = 128
	// celClockValidity is how long an outcome that read the clock is taken to hold, since nothing says when the
	// expression will turn.
	celClockValidity = time.Hour
)

// celUnavailable are variables that the contract names and this version cannot fill. An expression that uses one
// is refused: evaluated against nothing it would let everything pass.
var celUnavailable = []string{"packages", "vulnerabilities", "files", "secrets", "signatures"}

// A celCompiler compiles expressions. It makes its environment when the first one comes, since that costs more than
// the rest of a start and most policies have none.
type celCompiler struct{ env *cel.Env }

// An expression is a compiled CEL rule.
type expression struct {
	source  string
	program cel.Program
	reads   reads
}

// A celError is an error in an expression, at a place in its text (from 1).
type celError struct {
	line, column int
	message      string
}

func (e *celError) Error() string { return e.message }

func (c *celCompiler) environment() (*cel.Env, error) {
	if c.env != nil {
		return c.env, nil
	}
	env, err := cel.NewEnv(
		ext.NativeTypes(ext.ParseStructTags(true),
			cel.NativeTypeFor[celImage](cel.NativeTypeAlias("winnow.Image")),
			cel.NativeTypeFor[celLayer](cel.NativeTypeAlias("winnow.Layer")),
			cel.NativeTypeFor[celConfig](cel.NativeTypeAlias("winnow.Config")),
			cel.NativeTypeFor[celHealthcheck](cel.NativeTypeAlias("winnow.Healthcheck")),
			cel.NativeTypeFor[celHistory](cel.NativeTypeAlias("winnow.History")),
			cel.NativeTypeFor[celRequest](cel.NativeTypeAlias("winnow.Request")),
			cel.NativeTypeFor[celClient](cel.NativeTypeAlias("winnow.Client")),
		),
		cel.Variable("image", cel.ObjectType("winnow.Image")),
		cel.Variable("request", cel.ObjectType("winnow.Request")),
		cel.Variable("now", cel.TimestampType),
		cel.OptionalTypes(), // before Regex, which needs them
		ext.Strings(), ext.Lists(), ext.Sets(), ext.Math(), ext.Regex(),
		cel.ParserExpressionSizeLimit(celMaxExpression),
	)
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	c.env = env
	return env, nil
}

// compile compiles source, an expression that is true for an image that complies. The error is a *celError where
// the expression is to blame.
func (c *celCompiler) compile(source string) (*expression, error) {
	env, err := c.environment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(source)
	if errs := issues.Errors(); len(errs) > 0 {
		e := &celError{message: undeclared(errs[0].Message)}
		if at := errs[0].Location; at != nil {
			e.line, e.column = at.Line(), at.Column()+1
		}
		return nil, e
	}
	if t := ast.OutputType(); !t.IsExactType(types.BoolType) {
		return nil, &celError{message: fmt.Sprintf("gives %s; want true or false, true for an image that complies", t)}
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(celCostLimit),
		cel.InterruptCheckFrequency(celInterruptEvery))
	if err != nil {
		return nil, &celError{message: err.Error()}
	}
	return &expression{source: source, program: program, reads: readsOf(ast.NativeRep())}, nil
}

var undeclaredName = regexp.MustCompile(`^undeclared reference to '(\w+)'`)

// undeclared says of a variable that is to come that it is not there yet, and of any other which there are.
func undeclared(message string) string {
	m := undeclaredName.FindStringSubmatch(message)
	switch {
	case m == nil:
		return message
	case slices.Contains(celUnavailable, m[1]):
		return fmt.Sprintf("`%s` is not available in this version; known are image, request and now", m[1])
	}
	return fmt.Sprintf("unknown name %q; known are image, request and now", m[1])
}

// holds reports whether the image complies.
func (e *expression) holds(ctx context.Context, i *Image, vars map[string]any) (bool, error) {
	if what := e.reads.absent(i); what != "" {
		return false, fmt.Errorf("the image has no %s, and the expression does not ask has(image.%[1]s) first", what)
	}
	out, _, err := e.program.ContextEval(ctx, vars)
	if err != nil {
		return false, err
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return false, fmt.Errorf("gives %s, not true or false", out.Type().TypeName())
	}
	return ok, nil
}
