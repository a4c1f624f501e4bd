package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/winnow-registry/winnow/proxy/audit"
)

func (s *shell) auditCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "audit", Short: "Verify and search the audit log", RunE: needsCommand, Args: cobra.ArbitraryArgs}
	cmd.PersistentFlags().StringVar(&path, "path", "", "folder of the log; default: audit.path of the configuration")
	cmd.AddCommand(s.auditVerifyCommand(&path), s.auditQueryCommand(&path))
	return cmd
}

// auditPath is the folder of the log.
func (s *shell) auditPath(flag string) (string, error) {
	name, path := "--path", flag
	if path == "" {
		config, err := s.config()
		if err != nil {
			return "", err
		}
		name, path = "audit.path", config.Audit.Path
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: there is no audit log at %s; run this where winnow serve runs, or name its folder with --path", name, path)
	}
	return path, nil
}

// A verifyResult is what winnow audit verify -o json prints.
type verifyResult struct {
	OK bool `json:"ok"`
	audit.Report
	Checkpoint string     `json:"checkpoint,omitempty"` // of the newest good record, for --checkpoint later
	Bad        *badRecord `json:"bad,omitempty"`        // the first bad record
	Problem    string     `json:"problem,omitempty"`    // what is wrong, where no single record is
}

type badRecord struct {
	Seq     uint64 `json:"seq"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

func (s *shell) auditVerifyCommand(path *string) *cobra.Command {
	var checkpoint, output string
	var pruned bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the audit log is what was written", Args: cobra.NoArgs,
		Long: "Checks the number and the hash of every record, and names the first one that was changed, removed, added or\n" +
			"moved. It may run while the daemon writes. The checkpoint it prints, kept elsewhere and given with --checkpoint\n" +
			"later, shows that the log was not rolled back or made anew.\n\n" +
			"Exit code: 0 the log is whole, 2 it is not, 3 it could not be read.",
		Example: "  winnow audit verify\n  winnow audit verify --path /backup/audit --checkpoint 1042:9f86d0…",
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			want := audit.Expectation{Pruned: pruned}
			if checkpoint != "" {
				if want.Checkpoint, err = audit.ParseCheckpoint(checkpoint); err != nil {
					return err
				}
			}
			dir, err := s.auditPath(*path)
			if err != nil {
				return err
			}
			return s.auditVerify(dir, want, asJSON)
		},
	}
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "seq:hash, as an earlier run printed it")
	cmd.Flags().BoolVar(&pruned, "pruned", false, "accept that the oldest files of the log were removed")
	outputFlag(cmd, &output, "text or json")
	return cmd
}

func (s *shell) auditVerify(dir string, want audit.Expectation, asJSON bool) error {
	report, err := audit.VerifyAgainst(dir, want)
	result := verifyResult{OK: err == nil, Report: report}
	if report.Records > 0 {
		result.Checkpoint = report.Head.String()
	}
	var bad *audit.BadRecord
	switch {
	case errors.As(err, &bad):
		result.Bad = &badRecord{Seq: bad.Seq, File: bad.File, Line: bad.Line, Problem: bad.Problem}
	case err != nil:
		return err
	}
	if asJSON {
		err = writeJSON(s.stdout, result)
	} else {
		err = result.writeText(newTerminal(s.stdout))
	}
	if err == nil && !result.OK {
		err = exitDeny
	}
	return err
}

func (r *verifyResult) writeText(t *terminal) error {
	if r.Bad != nil {
		t.line("%s: %s", t.paint(codeRed, "BAD"), plain((&audit.BadRecord{Seq: r.Bad.Seq, File: r.Bad.File, Line: r.Bad.Line, Problem: r.Bad.Problem}).Error()))
		t.line("%d records before it are good", r.Records)
		return t.err
	}
	t.line("%s: %d records in %d files", t.paint(codeGreen, "ok"), r.Records, r.Segments)
	if r.Records == 0 {
		return t.err
	}
	t.field("from", r.FirstTime.Format(time.RFC3339))
	t.field("to", r.LastTime.Format(time.RFC3339))
	t.line("  checkpoint %s", r.Checkpoint)
	if r.Suspect > 0 {
		t.line("  %d lines were sealed after a failed write and do not count", r.Suspect)
	}
	if r.Torn > 0 {
		t.line("  %d bytes at the end are a record that is being written, or was when the machine stopped", r.Torn)
	}
	return t.err
}

func (s *shell) auditQueryCommand(path *string) *cobra.Command {
	var f audit.Filter
	var since, until, output string
	cmd := &cobra.Command{
		Use: "query", Short: "Print the records that match", Args: cobra.NoArgs,
		Long: "Prints the records of the audit log that match every flag, oldest first; -o json prints each as it was written, one\n" +
			"a line. A time is RFC 3339, a date (UTC), or a duration such as 24h, meaning that long ago.",
		Example: "  winnow audit query --since 24h --decision deny\n" +
			"  winnow audit query --image 'docker.io/library/*' --client 10.0.0.0/8 -o json",
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := textOrJSON(output)
			if err != nil {
				return err
			}
			now := time.Now()
			if f.Since, err = parseMoment("--since", since, now); err != nil {
				return err
			}
			if f.Until, err = parseMoment("--until", until, now); err != nil {
				return err
			}
			dir, err := s.auditPath(*path)
			if err != nil {
				return err
			}
			return s.auditQuery(dir, f, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "at or after this time")
	flags.StringVar(&until, "until", "", "before this time")
	flags.StringVar(&f.Client, "client", "", "address, network such as 10.0.0.0/8, or user")
	flags.StringVar(&f.Image, "image", "", "pattern over upstream/repository[:tag], e.g. 'docker.io/library/*'")
	flags.StringVar(&f.Decision, "decision", "", "admit, slim, deny or error")
	flags.StringVar(&f.Rule, "rule", "", "id of a rule that was broken")
	flags.StringVar(&f.Digest, "digest", "", "digest that was resolved or served")
	flags.StringVar(&f.Event, "event", "", "e.g. pull.decided, pull.completed, policy.reloaded")
	flags.StringVar(&f.ID, "id", "", "of one request")
	outputFlag(cmd, &output, "text or json")
	return cmd
}

func (s *shell) auditQuery(dir string, f audit.Filter, asJSON bool) error {
	switch f.Decision {
	case "", audit.DecisionAdmit, audit.DecisionSlim, audit.DecisionDeny, audit.DecisionError:
	default:
		return fmt.Errorf("--decision %q: use admit, slim, deny or error", f.Decision)
	}
	t := newTerminal(s.stdout)
	encoder := json.NewEncoder(s.stdout)
	encoder.SetEscapeHTML(false)
	return audit.Query(dir, f, func(r audit.Record) error {
		if asJSON {
			return encoder.Encode(r)
		}
		writeRecord(t, r)
		return t.err
	})
}

// writeRecord prints a record on one line; what is empty is left out.
func writeRecord(t *terminal, r audit.Record) {
	words := []string{r.Time.UTC().Format(time.RFC3339), r.Event}
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+value)
		}
	}
	add("", r.Decision)
	if r.Status != 0 {
		words = append(words, fmt.Sprint(r.Status))
	}
	add("", strings.TrimSpace(r.Method+" "+r.Kind))
	add("", r.Requested)
	add("client=", r.Client.IP)
	add("user=", r.Client.User)
	add("rules=", strings.Join(r.Rules, ","))
	add("exemptions=", strings.Join(r.Exemptions, ","))
	if r.Stale {
		words = append(words, "stale")
	}
	add("digest=", r.Digest.Served)
	add("id=", r.ID)
	add("reason=", r.Reason)
	t.line("%s", plain(strings.Join(words, "  ")))
}

// parseMoment reads a time on the command line.
func parseMoment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q: write a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or a duration such as 24h", flag, s)
}
