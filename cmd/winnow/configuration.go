package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/proxy/upstream"
)

func (s *shell) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Print and check the configuration", RunE: needsCommand, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(
		&cobra.Command{
			Use: "print", Short: "Print the configuration in force, without secrets", Args: cobra.NoArgs,
			Long:    "Prints what the defaults, the file and the environment give together, as a file that --config reads.",
			Example: "  winnow config print > winnow.yaml\n  WINNOW_LOG_LEVEL=debug winnow config print --config winnow.yaml",
			RunE: func(*cobra.Command, []string) error {
				config, err := s.config()
				if err != nil {
					return err
				}
				return configs.Print(s.stdout, config)
			},
		},
		&cobra.Command{
			Use: "validate", Short: "Check the configuration, its policies and its upstreams", Args: cobra.NoArgs,
			Long: "Checks that winnow serve could start with this configuration: the file, the environment, the policies, and the\n" +
				"credentials and certificates of the upstreams. Nothing is opened for writing and nothing is dialled.",
			Example: "  winnow config validate --config winnow.yaml",
			RunE:    func(*cobra.Command, []string) error { return s.validateConfig() },
		},
	)
	return cmd
}

func (s *shell) validateConfig() error {
	config, err := s.config()
	if err != nil {
		return err
	}
	for _, w := range config.Warnings() {
		fmt.Fprintln(s.stderr, "winnow: warning: "+w)
	}
	if _, err := s.policySet(config, nil); err != nil {
		return err
	}
	client, err := upstream.New(endpoints(config), upstream.Options{})
	if err != nil {
		return fmt.Errorf("reading upstreams: %w", err)
	}
	if err := client.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stdout, "ok")
	return err
}
