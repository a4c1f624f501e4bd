package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// A Filter selects records. Every field that is set must match; the zero value selects all.
type Filter struct {
	Since    time.Time // at or after
	Until    time.Time // before
	Client   string    // an address, a network such as 10.0.0.0/8, or a user
	Image    string    // doublestar over upstream/repository, with or without its tag or digest
	Decision string    // admit, slim, deny or error
	Rule     string    // an id among the broken rules
	Digest   string    // resolved or served
	Event    string
	ID       string // of the request
}

// Query calls f with each record in dir that the filter selects, oldest first, until f returns an error, which Query
// then returns. Memory is bounded, and the log may be written meanwhile. Query does not check the chain, Verify does;
// a line that is no record ends it with a *BadRecord.
func Query(dir string, filter Filter, f func(Record) error) error {
	selects, err := filter.compile()
	if err != nil {
		return err
	}
	names, err := segments(dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		after := names[i+1:]
		sealed, err := sealedFrom(dir, after)
		if err != nil {
			return err
		}
		if err := queryFile(dir, name, sealed, len(after) == 0, func(r *Record) error {
			if !selects(r) {
				return nil
			}
			return f(*r)
		}); err != nil {
			return err
		}
	}
	return nil
}

// queryFile reads one segment, up to the record from which on it was sealed. The newest may end in a torn line.
func queryFile(dir, name string, sealed uint64, newest bool, f func(*Record) error) error {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("querying the audit log: %w", err)
	}
	defer file.Close()
	lines := newLineReader(file)
	var last uint64
	for sealed == 0 || last+1 < sealed {
		line, err := lines.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) && newest {
			return nil
		}
		var r Record
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if sealed > 0 && (err != nil || r.Seq >= sealed) {
			return nil
		}
		if err != nil {
			return &BadRecord{last + 1, name, lines.number, "reading it: " + err.Error()}
		}
		last = r.Seq
		if err := f(&r); err != nil {
			return err
		}
	}
	return nil
}

// compile checks the filter and returns it as a function.
func (f Filter) compile() (func(*Record) bool, error) {
	if f.Image != "" && !doublestar.ValidatePattern(f.Image) {
		return nil, fmt.Errorf("querying the audit log: %q is no image pattern; write one such as docker.io/library/*", f.Image)
	}
	var network netip.Prefix
	if strings.Contains(f.Client, "/") {
		var err error
		if network, err = netip.ParsePrefix(f.Client); err != nil {
			return nil, fmt.Errorf("querying the audit log: client %q is no network: %w", f.Client, err)
		}
	}
	return func(r *Record) bool {
		return (f.Since.IsZero() || !r.Time.Before(f.Since)) &&
			(f.Until.IsZero() || r.Time.Before(f.Until)) &&
			is(f.Decision, r.Decision) && is(f.Event, r.Event) && is(f.ID, r.ID) &&
			(f.Digest == "" || f.Digest == r.Digest.Resolved || f.Digest == r.Digest.Served) &&
			(f.Rule == "" || slices.Contains(r.Rules, f.Rule)) &&
			matchesClient(f.Client, network, r.Client) &&
			matchesImage(f.Image, r.Requested)
	}, nil
}

func is(want, got string) bool { return want == "" || want == got }

func matchesClient(want string, network netip.Prefix, c Client) bool {
	if want == "" {
		return true
	}
	ip, err := netip.ParseAddr(c.IP)
	if network.IsValid() {
		return err == nil && network.Contains(ip.Unmap().WithZone(""))
	}
	if wanted, wantErr := netip.ParseAddr(want); wantErr == nil && err == nil && wanted.Unmap() == ip.Unmap() {
		return true
	}
	return want == c.User || want == c.IP
}

// matchesImage tries the pattern on the reference, then without its digest, then without its tag.
func matchesImage(pattern, requested string) bool {
	if pattern == "" || doublestar.MatchUnvalidated(pattern, requested) {
		return true
	}
	name, _, digested := strings.Cut(requested, "@")
	if digested && doublestar.MatchUnvalidated(pattern, name) {
		return true
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return doublestar.MatchUnvalidated(pattern, name[:colon])
	}
	return false
}
