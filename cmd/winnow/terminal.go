package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/winnow-registry/winnow/policy"
)

// A terminal prints for people: with colour where there is a terminal that wants it. It keeps its first error.
type terminal struct {
	w      io.Writer
	colour bool
	err    error
}

// newTerminal looks whether w is a terminal, and asks NO_COLOR (no-color.org) and TERM.
func newTerminal(w io.Writer) *terminal {
	f, ok := w.(*os.File)
	return &terminal{w: w, colour: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (t *terminal) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// field prints one property of an image, if it has a value.
func (t *terminal) field(name, value string) {
	if value != "" {
		t.line("  %-9s %s", name, plain(value))
	}
}

// detail prints one property of a violation, if it has a value.
func (t *terminal) detail(name, value string) {
	if value != "" {
		t.line("      %-9s %s", name, plain(value))
	}
}

// Source of the codes: ECMA-48, select graphic rendition.
const (
	codeBold   = "1"
	codeRed    = "31"
	codeGreen  = "32"
	codeYellow = "33"
	codeFaint  = "2"
)

func (t *terminal) paint(code, s string) string {
	s = plain(s)
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *terminal) bold(s string) string { return t.paint(codeBold, s) }

func (t *terminal) decision(d policy.Decision) string {
	switch d {
	case policy.Admit:
		return t.paint(codeGreen, string(d))
	case policy.Slim:
		return t.paint(codeYellow, string(d))
	}
	return t.paint(codeRed, string(d))
}

func (t *terminal) action(v policy.Violation) string {
	code := codeRed
	switch {
	case v.Exemption != "" || v.AuditOnly:
		code = codeFaint
	case v.Action == policy.ActionWarn || v.Action == policy.ActionSlim:
		code = codeYellow
	}
	return t.paint(code, string(v.Action))
}

// plain makes s one line that prints as it reads: what an image or a client chose must not move the cursor.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// outputFlag adds -o.
func outputFlag(cmd *cobra.Command, value *string, usage string) {
	cmd.Flags().StringVarP(value, "output", "o", "text", "form of the output: "+usage)
}

// textOrJSON reads -o of a command with these two forms.
func textOrJSON(output string) (asJSON bool, err error) {
	switch output {
	case "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, fmt.Errorf("-o %q: use text or json", output)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeTable prints rows in columns.
func writeTable(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = plain(row[i])
		}
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// exactly accepts n arguments, and says otherwise what they are.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%s wants %s, and got %d arguments; see %s --help", cmd.CommandPath(), what, len(args), cmd.CommandPath())
	}
}
