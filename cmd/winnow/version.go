package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in releases; otherwise the module's build information says it.
var version string

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// A versionInfo is what winnow version -o json prints.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (s *shell) versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  winnow version -o json",
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			v := versionInfo{Version: programVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if asJSON {
				return writeJSON(s.stdout, v)
			}
			_, err = fmt.Fprintf(s.stdout, "winnow %s %s %s\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	outputFlag(cmd, &output, "text or json")
	return cmd
}
