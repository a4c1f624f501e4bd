package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/proxy/store"
)

func (s *shell) gcCommand() *cobra.Command {
	var opts store.GCOptions
	var output string
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove from the store what nobody needs", Args: cobra.NoArgs,
		Long: "Removes what interrupted processes left behind, links to images that are gone, and what exceeds store.maxSize,\n" +
			"least recently used first. A store on a filesystem belongs to one process: stop the daemon first. What is\n" +
			"removed is fetched again when it is pulled again.",
		Example: "  winnow gc --dry-run\n  winnow gc --verify -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			return s.gc(cmd.Context(), opts, asJSON)
		},
	}
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "remove nothing, and say what would be removed")
	cmd.Flags().BoolVar(&opts.Verify, "verify", false, "read every object, and remove those that do not hash to their digest")
	outputFlag(cmd, &output, "text or json")
	return cmd
}

func (s *shell) gc(ctx context.Context, opts store.GCOptions, asJSON bool) (err error) {
	config, err := s.config()
	if err != nil {
		return err
	}
	if err := storeExists(config); err != nil {
		return err
	}
	log, flush, err := newLogger(s.stderr, configs.Log{Level: "warn", Format: "console"})
	if err != nil {
		return err
	}
	defer flush()
	st, err := openStore(ctx, config, log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	report, err := st.GC(ctx, opts)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.stdout, report)
	}
	removed := "removed"
	if opts.DryRun {
		removed = "would remove"
	}
	_, err = fmt.Fprintf(s.stdout, "held %d objects, %s; %s %d objects, %s (%d damaged), %d leftovers and %d links\n",
		report.Objects, bytesText(report.Bytes), removed, report.Removed, bytesText(report.RemovedBytes), report.Damaged, report.Leftovers, report.Links)
	return err
}

// storeExists keeps a gc in the wrong folder from making an empty store there.
func storeExists(config *configs.Config) error {
	root, ok := config.Store.Parameters["rootdirectory"].(string)
	if config.Store.Driver != "filesystem" || !ok {
		return nil
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store.parameters.rootdirectory: there is no store at %s; run this where winnow serve runs, or with its --config", root)
	}
	return nil
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	const unit = 1024
	value, name := float64(n), ""
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, u
	}
	if name == "" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
