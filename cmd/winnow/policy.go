package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

func (s *shell) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Check, test and describe policies", RunE: needsCommand, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(s.policyValidateCommand(), s.policyTestCommand(), s.policyRulesCommand(), s.policySchemaCommand())
	return cmd
}

// needsCommand answers a group of commands that was called by itself or with a word that is none of them.
func needsCommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if len(args) > 0 {
		return fmt.Errorf("%s has no command %q; use one of %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return fmt.Errorf("%s wants one of %s; see %s --help", cmd.CommandPath(), strings.Join(names, ", "), cmd.CommandPath())
}

func (s *shell) policyValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate [PATH…]", Short: "Check that policies can be loaded",
		Long: "Loads policies as the daemon would and prints their revision. A PATH is a file, a folder or the name of an\n" +
			"embedded policy; without one those of policy.paths are meant. Every fault is printed with file, line and column.",
		Example: "  winnow policy validate ./policies\n  winnow policy validate strict ./exemptions.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			config, err := s.config()
			if err != nil {
				return err
			}
			set, err := s.policySet(config, args)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.stdout, "ok: revision %s\n", set.Revision())
			return err
		},
	}
}

func (s *shell) policyRulesCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "rules", Short: "List the built-in rules", Args: cobra.NoArgs,
		Long:    "Lists the rules that a policy may name with `use`, with their parameters and the controls they answer to.",
		Example: "  winnow policy rules\n  winnow policy rules -o json | jq '.[].parameters'",
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			list := ruleList()
			if asJSON {
				return writeJSON(s.stdout, list)
			}
			return writeTable(s.stdout, ruleTable(list))
		},
	}
	outputFlag(cmd, &output, "text or json")
	return cmd
}

// A ruleInfo describes a built-in rule; -o json prints a list of them.
type ruleInfo struct {
	ID         string          `json:"id"` // what `use` says
	Title      string          `json:"title"`
	Doc        string          `json:"doc"`
	Controls   []string        `json:"controls"`
	Advice     string          `json:"advice"`
	Severity   policy.Severity `json:"severity"` // where the policy does not say
	Stage      string          `json:"stage"`    // what has to be known of an image: reference, manifest, config or layers
	Kinds      []policy.Kind   `json:"kinds"`
	Mends      bool            `json:"mends"` // whether slimming can make an image comply
	Parameters []ruleParameter `json:"parameters"`
}

type ruleParameter struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Default     any    `json:"default"` // null: none
}

func ruleList() []ruleInfo {
	stages := map[policy.Stage]string{
		policy.StageReference: "reference", policy.StageManifest: "manifest", policy.StageConfig: "config", policy.StageLayers: "layers",
	}
	var out []ruleInfo
	for _, b := range rules.All() {
		out = append(out, ruleInfo{
			ID: b.Name, Title: b.Title, Doc: b.Doc, Controls: append([]string{}, b.Controls...), Advice: b.Advice, Severity: b.Severity,
			Stage: stages[b.Stage], Kinds: b.Kinds, Mends: b.Mends, Parameters: parametersOf(b),
		})
	}
	slices.SortFunc(out, func(a, b ruleInfo) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// parametersOf lists the parameters of a rule as its schema describes them, with the values they have when left out.
func parametersOf(b policy.Builtin) []ruleParameter {
	out := []ruleParameter{}
	if b.Params == nil {
		return out
	}
	schema := (&jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true,
	}).Reflect(b.Params)
	defaults := map[string]any{}
	v := reflect.Indirect(reflect.ValueOf(b.Params))
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			defaults[name] = f.Interface()
		}
	}
	for p := schema.Properties.Oldest(); p != nil; p = p.Next() {
		out = append(out, ruleParameter{
			Name: p.Key, Description: p.Value.Description, Default: defaults[p.Key], Required: slices.Contains(schema.Required, p.Key),
		})
	}
	return out
}

// maxDefault is the longest default that the table of rules shows, bytes.
const maxDefault = 48

func ruleTable(list []ruleInfo) [][]string {
	rows := [][]string{{"RULE", "TITLE", "SEVERITY", "STAGE", "PARAMETERS", "CONTROLS"}}
	for _, r := range list {
		var parameters []string
		for _, p := range r.Parameters {
			text := p.Name
			if b, err := json.Marshal(p.Default); err == nil && p.Default != nil {
				text += "="
				if len(b) > maxDefault { // -o json has it whole
					text += "…"
				} else {
					text += string(b)
				}
			}
			if p.Required {
				text += " (required)"
			}
			parameters = append(parameters, text)
		}
		rows = append(rows, []string{r.ID, r.Title, string(r.Severity), r.Stage, strings.Join(parameters, " "), strings.Join(r.Controls, ", ")})
	}
	return rows
}

func (s *shell) policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of policy documents", Args: cobra.NoArgs,
		Long: "Prints the JSON Schema (2020-12) of policy documents, for editors and other checks. $defs/variables lists what\n" +
			"CEL expressions can read, with types.",
		Example: "  winnow policy schema > policy.schema.json",
		RunE: func(*cobra.Command, []string) error {
			b, err := policy.Schema(rules.All())
			if err != nil {
				return err
			}
			_, err = s.stdout.Write(b)
			return err
		},
	}
}
