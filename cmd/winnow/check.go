package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
	"github.com/winnow-registry/winnow/proxy/admission"
)

// Exit codes of winnow check and of the commands that judge something: see also exitFailure.
const (
	exitSlim exitCode = 1 // the image would be slimmed
	exitDeny exitCode = 2 // the image is refused; the tests failed; the log is not what was written
)

// A checkCommand is the command line of winnow check.
type checkCommand struct {
	*shell
	policies []string
	as       string
	ref      string
	platform string
	output   string
}

func (s *shell) checkCommand() *cobra.Command {
	c := &checkCommand{shell: s}
	cmd := &cobra.Command{
		Use: "check REF|LAYOUT|TARBALL", Short: "Decide on an image without serving it", Args: exactly(1, "an image: a reference, an OCI layout or a docker save file"),
		Long: "Decides on an image as the daemon would, with every finding, and serves and remembers nothing. REF is written as\n" +
			"for a client and read from its upstream; LAYOUT is a folder with an OCI layout; TARBALL is what docker save or\n" +
			"podman save wrote, or a layout in a tar file. Of an index the images of admission.platforms are judged. The\n" +
			"image counts as seen for the first time now.\n\n" +
			"Exit code: 0 admitted, 1 would be slimmed, 2 refused, 3 could not be decided. The worst image decides.",
		Example: "  winnow check nginx:1.27\n" +
			"  winnow check --policy strict --policy ./exemptions.yaml ghcr.io/org/app@sha256:…\n" +
			"  docker save app:dev -o app.tar && winnow check app.tar --as ghcr.io/org/app:1.4 -o sarif",
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&c.policies, "policy", nil, "file, folder or embedded policy instead of policy.paths; may be repeated")
	f.StringVar(&c.as, "as", "", "judge an image on disk as if it were pulled under this name")
	f.StringVar(&c.ref, "ref", "", "of several images on disk, the one with this name, tag or digest")
	f.StringVar(&c.platform, "platform", "", "of an index, the images of this platform only, e.g. linux/arm64")
	outputFlag(cmd, &c.output, "text, json or sarif")
	return cmd
}

func (c *checkCommand) run(ctx context.Context, target string) error {
	print, err := c.printer()
	if err != nil {
		return err
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	set, err := c.policySet(config, c.policies)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(config.Admission.Timeout))
	defer cancel()
	t, err := c.open(ctx, config, target)
	if err != nil {
		return err
	}
	defer t.close()
	report := checkReport{Target: target, Policy: set.Revision()}
	var all []admission.Checked
	for _, image := range t.images {
		checked, err := c.judge(ctx, config, set, t.source, image.ref)
		if err != nil {
			return fmt.Errorf("could not decide: %w", err)
		}
		all = append(all, checked...)
		report.add(checked, image.made)
	}
	worst := admission.Worst(all)
	report.Decision = worst
	if err := print(&report); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	switch worst {
	case policy.Admit:
		return nil
	case policy.Slim:
		return exitSlim
	}
	return exitDeny
}

func (c *checkCommand) judge(ctx context.Context, config *configs.Config, set *policy.Set, from admission.Source, ref policy.Reference) ([]admission.Checked, error) {
	platforms := config.Admission.Platforms
	if c.platform != "" {
		platforms = []string{c.platform}
	}
	checked, err := admission.Check(ctx, from, ref, admission.CheckOptions{
		Set: set, Platforms: platforms, MaxSize: int64(config.Admission.MaxImageSize),
	})
	if err != nil {
		return nil, err
	}
	first := checked[0]
	if c.platform != "" && first.Kind == policy.KindImage && first.Platform.String() != "" && !admission.MatchesPlatform(first.Platform, c.platform) {
		return nil, fmt.Errorf("%s is an image for %s, not for %s", ref, plain(first.Platform.String()), c.platform)
	}
	return checked, nil
}

// printer returns what writes the report in the form that -o names.
func (c *checkCommand) printer() (func(*checkReport) error, error) {
	if c.platform != "" && strings.Count(c.platform, "/") != 1 && strings.Count(c.platform, "/") != 2 {
		return nil, fmt.Errorf("--platform %q: write os/architecture or os/architecture/variant, e.g. linux/amd64", c.platform)
	}
	switch c.output {
	case "text":
		return func(r *checkReport) error { return r.writeText(newTerminal(c.stdout)) }, nil
	case "json":
		return func(r *checkReport) error { return writeJSON(c.stdout, r) }, nil
	case "sarif":
		return func(r *checkReport) error { return writeJSON(c.stdout, r.sarif()) }, nil
	case "cyclonedx", "spdx":
		return nil, fmt.Errorf("-o %s: an SBOM needs the layers, which this version does not read; use text, json or sarif", c.output)
	}
	return nil, fmt.Errorf("-o %q: use text, json or sarif", c.output)
}

// policySet loads the policies that flags name, or else those of the configuration. What is odd goes to stderr.
func (s *shell) policySet(config *configs.Config, paths []string) (*policy.Set, error) {
	files, err := policyFiles(config, paths)
	if err != nil {
		return nil, err
	}
	set, err := policy.Load(files, rules.All())
	if err != nil {
		return nil, err
	}
	for _, w := range set.Warnings() {
		fmt.Fprintln(s.stderr, "winnow: warning: "+w)
	}
	return set, nil
}

func policyFiles(config *configs.Config, paths []string) ([]policy.File, error) {
	if len(paths) == 0 {
		return configs.ReadPolicies(config)
	}
	if slices.Contains(paths, "") {
		return nil, errors.New("an empty name of a policy; name a file, a folder, or baseline, standard or strict")
	}
	return configs.ReadPolicyPaths(paths)
}
