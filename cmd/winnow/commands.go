package main

import "github.com/spf13/cobra"

// commands lists the command line, in the order of --help.
func (s *shell) commands() []*cobra.Command {
	return []*cobra.Command{
		s.serveCommand(), s.checkCommand(), s.policyCommand(), s.configCommand(), s.auditCommand(), s.gcCommand(), s.versionCommand(),
	}
}
