package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/configs"
)

// A shell is what every command has: where to print, and the configuration that --config names.
type shell struct {
	stdout, stderr io.Writer
	configFile     string
}

func (s *shell) config() (*configs.Config, error) {
	return configs.Load(s.configFile, os.Environ())
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	s := &shell{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "winnow",
		Short: "A pull-through registry that serves only images that comply with policy",
		Long: "Winnow stands between container clients and registries. Every pull is fetched, checked against policy,\n" +
			"and answered with the image or with a refusal that says why. Without arguments for a command, the\n" +
			"embedded defaults hold: `winnow serve` alone runs.",
		Example: "  winnow serve\n  winnow check nginx:1.27\n  winnow policy rules",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return needsCommand(cmd, args)
		},
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().StringVar(&s.configFile, "config", "", "configuration file (YAML); every key can be set by WINNOW_… as well")
	root.AddCommand(s.commands()...)
	return root
}
