package audit

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuerySelects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := open(t, Options{Path: dir, SegmentSize: 1000})
	for i, r := range []Record{
		{ID: "nginx", Client: Client{IP: "10.0.0.1", User: "ci"}, Requested: "docker.io/library/nginx:1.27", Decision: DecisionAdmit, Digest: Digest{"sha256:aa", "sha256:aa"}},
		{ID: "redis", Client: Client{IP: "10.0.7.1"}, Requested: "docker.io/library/redis@sha256:bb", Decision: DecisionDeny, Rules: []string{"no-root", "pinned"}, Digest: Digest{Resolved: "sha256:bb"}},
		{ID: "app", Client: Client{IP: "::ffff:10.1.0.1", User: "bob"}, Requested: "registry.corp:5443/team/app:v1@sha256:cc", Decision: DecisionSlim, Digest: Digest{"sha256:cc", "sha256:dd"}},
		{ID: "six", Client: Client{IP: "2001:db8::1"}, Requested: "registry.corp:5443/team/sub/app", Decision: DecisionError},
	} {
		r.Event, r.Time = EventDecided, noon.Add(time.Duration(i)*time.Hour)
		if err := l.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	tests := []struct {
		name string
		f    Filter
		want string
	}{
		{"all", Filter{}, "nginx redis app six"},
		{"since", Filter{Since: noon.Add(time.Hour)}, "redis app six"},
		{"until", Filter{Until: noon.Add(time.Hour)}, "nginx"},
		{"user", Filter{Client: "bob"}, "app"},
		{"address", Filter{Client: "10.0.7.1"}, "redis"},
		{"mapped address", Filter{Client: "10.1.0.1"}, "app"},
		{"network", Filter{Client: "10.0.0.0/16"}, "nginx redis"},
		{"network, version 6", Filter{Client: "2001:db8::/32"}, "six"},
		{"image with its tag", Filter{Image: "docker.io/library/nginx:1.27"}, "nginx"},
		{"image without its tag", Filter{Image: "docker.io/library/nginx"}, "nginx"},
		{"image without its digest", Filter{Image: "docker.io/library/redis"}, "redis"},
		{"image without tag and digest, port in its host", Filter{Image: "registry.corp:5443/team/app"}, "app"},
		{"one level", Filter{Image: "docker.io/library/*"}, "nginx redis"},
		{"all levels", Filter{Image: "registry.corp:5443/**"}, "app six"},
		{"decision", Filter{Decision: DecisionDeny}, "redis"},
		{"rule", Filter{Rule: "pinned"}, "redis"},
		{"digest resolved", Filter{Digest: "sha256:cc"}, "app"},
		{"digest served", Filter{Digest: "sha256:dd"}, "app"},
		{"id", Filter{ID: "six"}, "six"},
		{"several", Filter{Client: "10.0.0.0/8", Decision: DecisionAdmit, Image: "**/nginx"}, "nginx"},
		{"none", Filter{Client: "eve"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.f.Event = EventDecided
			var got []string
			for _, r := range records(t, dir, tt.f) {
				got = append(got, r.ID)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueryRefusesAFilterThatCannotMatch(t *testing.T) {
	t.Parallel()
	for _, f := range []Filter{{Image: "[a"}, {Client: "10.0.0.0/99"}} {
		err := Query(t.TempDir(), f, func(Record) error { return nil })
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error = %v, want one line", f, err)
		}
	}
}

func TestQueryStopsWithTheCallersError(t *testing.T) {
	t.Parallel()
	dir, _ := written(t)
	enough := errors.New("enough")
	calls := 0
	err := Query(dir, Filter{}, func(Record) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

func TestQueryNamesALineThatIsNoRecord(t *testing.T) {
	t.Parallel()
	dir, paths := written(t)
	writeFile(t, paths[1], []byte("nothing\n"))
	err := Query(dir, Filter{}, func(Record) error { return nil })
	var bad *BadRecord
	if !errors.As(err, &bad) || bad.Seq != 6 && bad.Line != 1 {
		t.Errorf("error = %v, want the place", err)
	}
}

func TestAFolderThatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/none"
	if _, err := Verify(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Verify: %v", err)
	}
	if err := Query(dir, Filter{}, func(Record) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Query: %v", err)
	}
}
