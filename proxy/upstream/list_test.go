package upstream_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, link string
		n                int
		last             string
		want             []string
		more             bool
		invalid          bool
	}{
		{name: "page and a next one", body: `{"tags":["a","b"]}`, link: `</v2/a/tags/list?n=2&last=b>; rel="next"`, n: 2, want: []string{"a", "b"}, more: true},
		{name: "next one elsewhere is not one", body: `{"tags":["a","b"]}`, link: `<http://evil.test/v2/a/tags/list?last=b>; rel="next"`, n: 2, want: []string{"a", "b"}},
		{name: "upstream ignores n", body: `{"tags":["a","b","c"]}`, n: 2, want: []string{"a", "b"}, more: true},
		{name: "upstream ignores last", body: `{"tags":["a","b","c"]}`, n: 2, last: "b", want: []string{"c"}},
		{name: "none", body: `{"name":"a","tags":null}`, n: 2},
		{name: "escape sequence for a name", body: `{"tags":["\u001b[31m"]}`, invalid: true},
		{name: "number for a name", body: `{"tags":[1]}`, invalid: true},
		{name: "no JSON", body: `<html>`, invalid: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, quick, at(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.link != "" {
					w.Header().Set("Link", tt.link)
				}
				_, _ = fmt.Fprint(w, tt.body)
			}))))
			got, more, err := c.Tags(t.Context(), "u", "a", tt.n, tt.last)
			if tt.invalid {
				wantError(t, err, 502, "invalid_content")
				return
			}
			if err != nil || more != tt.more || strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("%v, more %v, %v; want %v, more %v", got, more, err, tt.want, tt.more)
			}
		})
	}
}

// entry is a referrer of one type.
func entry(content, artifactType string) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":10,"artifactType":%q,`+
		`"urls":["http://169.254.169.254/"],"data":"e30="}`, sum([]byte(content)), artifactType)
}

func index(entries ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + strings.Join(entries, ",") + `]}`
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	subject := sum([]byte("subject"))
	api := func(pages ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			i := len(r.URL.Query()["page"])
			if i+1 < len(pages) {
				w.Header().Set("Link", "<"+r.URL.Path+"?page=1>; rel=next")
			}
			manifest([]byte(pages[i]))(w, r)
		}
	}
	fallback := func(status int, tagged http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/manifests/"+strings.Replace(subject, ":", "-", 1)) {
				tagged(w, r)
				return
			}
			w.WriteHeader(status)
		}
	}
	for _, tt := range []struct {
		name         string
		handler      http.HandlerFunc
		artifactType string
		want         []string // what the digests are of
		status       int
		reason       string
	}{
		{name: "two pages merged, repeated entries once", handler: api(index(entry("a", "x/y")), index(entry("b", "x/z"), entry("a", "x/y"))), want: []string{"a", "b"}},
		{name: "HC-133 upstream's filter lies", handler: api(index(entry("a", "x/y"), entry("b", "x/z"))), artifactType: "x/z", want: []string{"b"}},
		{name: "none", handler: api(index())},
		{name: "no API, tag", handler: fallback(404, manifest([]byte(index(entry("a", "x/y"))))), want: []string{"a"}},
		{name: "API not allowed, tag", handler: fallback(405, manifest([]byte(index(entry("a", "x/y"))))), want: []string{"a"}},
		{name: "a page for people, no tag", handler: fallback(200, http.NotFound)},
		{name: "no API, no tag", handler: fallback(404, http.NotFound)},
		{name: "tag of another type", handler: fallback(404, manifest([]byte(index()), "Content-Type", "text/plain")), status: 502, reason: "invalid_content"},
		{name: "API fails: not taken for none", handler: fallback(500, http.NotFound), status: 503, reason: "unavailable"},
		{name: "API forbidden: not taken for none", handler: fallback(403, http.NotFound), status: 403, reason: "forbidden"},
		{name: "entry without a digest", handler: api(index(`{"mediaType":"a/b","size":1}`)), status: 502, reason: "invalid_content"},
		{name: "entry of absurd size", handler: api(index(strings.Replace(entry("a", "x/y"), `"size":10`, `"size":-1`, 1))), status: 502, reason: "invalid_content"},
		{name: "no index", handler: api(`{"schemaVersion":1}`), status: 502, reason: "invalid_content"},
		{name: "HC-133 a million entries", handler: api(index(strings.Split(strings.Repeat(entry("a", "x/y")+"\n", 20_000)+entry("b", "x/y"), "\n")...)), status: 502, reason: "too_large"},
		{name: "pages without end", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<"+r.URL.Path+"?page=1>; rel=next")
			manifest([]byte(index(entry("a", "x/y"))))(w, r)
		}, status: 502, reason: "too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, quick, at(serve(t, tt.handler)))
			raw, filtered, err := c.Referrers(t.Context(), "u", "a", subject, tt.artifactType)
			if tt.status != 0 {
				wantError(t, err, tt.status, tt.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got v1.Index
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			var digests, want []string
			for _, d := range got.Manifests {
				digests = append(digests, d.Digest.String())
				if len(d.URLs) > 0 || len(d.Data) > 0 {
					t.Errorf("passes on %+v", d)
				}
			}
			for _, content := range tt.want {
				want = append(want, sum([]byte(content)))
			}
			if diff := cmp.Diff(want, digests); diff != "" || filtered != (tt.artifactType != "") {
				t.Errorf("filtered %v, digests -want +got:\n%s", filtered, diff)
			}
		})
	}
}
