package main

import (
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
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().StringVar(&s.configFile, "config", "", "configuration file (YAML); every key can be set by WINNOW_… as well")
	root.AddCommand(s.commands()...)
	return root
}
