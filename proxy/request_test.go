package proxy

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

func testNames() *Names {
	return NewNames([]string{"docker.io", "ghcr.io", "registry.corp:5443"}, "docker.io")
}

const hex64 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// request makes a request as a server gets it: nothing is cleaned on the way.
func request(method, target, host string) *http.Request {
	r := httptest.NewRequest(method, "http://x/", nil)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	r.URL, r.Host = u, host
	return r
}

func TestNamingGoesByNsThenPathThenHostThenDefault(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, host, want string }{
		{"/v2/nginx/manifests/1", "winnow:5000", "docker.io/library/nginx:1"},
		{"/v2/library/nginx/manifests/1", "winnow:5000", "docker.io/library/nginx:1"},
		{"/v2/docker.io/nginx/manifests/1", "winnow:5000", "docker.io/library/nginx:1"},
		{"/v2/index.docker.io/nginx/manifests/1", "winnow:5000", "docker.io/library/nginx:1"},
		{"/v2/registry-1.docker.io/a/b/manifests/1", "winnow:5000", "docker.io/a/b:1"},
		{"/v2/ghcr.io/org/app/manifests/1", "winnow:5000", "ghcr.io/org/app:1"},
		{"/v2/ghcr.io/app/manifests/1", "winnow:5000", "ghcr.io/app:1"},
		{"/v2/registry.corp:5443/app/manifests/1", "winnow:5000", "registry.corp:5443/app:1"},
		{"/v2/org/app/manifests/1?ns=ghcr.io", "winnow:5000", "ghcr.io/org/app:1"},
		{"/v2/ghcr.io/org/app/manifests/1?ns=ghcr.io", "winnow:5000", "ghcr.io/org/app:1"},
		{"/v2/nginx/manifests/1?ns=index.docker.io", "winnow:5000", "docker.io/library/nginx:1"},
		{"/v2/org/app/manifests/1", "ghcr.io", "ghcr.io/org/app:1"},
		{"/v2/org/app/manifests/1", "ghcr.io:443", "ghcr.io/org/app:1"},
		{"/v2/app/manifests/1", "registry.corp:5443", "registry.corp:5443/app:1"},
		{"/v2/docker.io/a/b/manifests/1", "ghcr.io", "docker.io/a/b:1"},
		{"/v2/a/b/manifests/1?ns=docker.io", "ghcr.io", "docker.io/a/b:1"},
		{"/v2/a/manifests/b/manifests/1", "w", "docker.io/a/manifests/b:1"},
		{"/v2/a/b/manifests/sha256-" + hex64 + ".sig", "w", "docker.io/a/b:sha256-" + hex64 + ".sig"},
		{"/v2/a/b/manifests/sha256:" + hex64, "w", "docker.io/a/b@sha256:" + hex64},
		{"/v2/a/b/blobs/sha256:" + hex64, "w", "docker.io/a/b@sha256:" + hex64},
		{"/v2/a/b/referrers/sha256:" + hex64, "w", "docker.io/a/b@sha256:" + hex64},
		{"/v2/a/b/tags/list?n=5&last=x", "w", "docker.io/a/b"},
	}
	for _, test := range tests {
		req, err := testNames().parse(request("GET", test.target, test.host))
		if err != nil || req.Reference.String() != test.want {
			t.Errorf("%s at %s: got %s, %v; want %s", test.target, test.host, req.Reference, err, test.want)
		}
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 130)
	tests := []struct {
		name, method, target string
		status               int
		code                 string
	}{
		{"HC-001 dots", "GET", "/v2/a/../b/manifests/x", 400, "NAME_INVALID"},
		{"HC-001 dots encoded", "GET", "/v2/a/%2e%2e/b/manifests/x", 400, "NAME_INVALID"},
		{"HC-003 empty part", "GET", "/v2//lib/x/manifests/t", 400, "NAME_INVALID"},
		{"HC-003 trailing slash", "GET", "/v2/lib/x/manifests/t/", 404, "UNSUPPORTED"},
		{"HC-003 parameters", "GET", "/v2/lib/x;a=b/manifests/t", 400, "NAME_INVALID"},
		{"HC-003 encoded hash", "GET", "/v2/lib/x%23/manifests/t", 400, "NAME_INVALID"},
		{"HC-003 encoded slash", "GET", "/v2/lib%2Fx/manifests/t", 400, "NAME_INVALID"},
		{"HC-004 upper case", "GET", "/v2/lib/X/manifests/t", 400, "NAME_INVALID"},
		{"HC-004 long s", "GET", "/v2/lib/%C5%BF/manifests/t", 400, "NAME_INVALID"},
		{"HC-004 full width", "GET", "/v2/lib/%EF%BD%81/manifests/t", 400, "NAME_INVALID"},
		{"HC-005 NUL", "GET", "/v2/lib/x%00/manifests/t", 400, "NAME_INVALID"},
		{"HC-005 CR LF in tag", "GET", "/v2/lib/x/manifests/t%0d%0aX:y", 400, "NAME_INVALID"},
		{"HC-005 ESC in query", "GET", "/v2/lib/x/manifests/t?q=%1b", 400, "UNSUPPORTED"},
		{"HC-005 bad UTF-8 in query", "GET", "/v2/lib/x/manifests/t?q=%ff", 400, "UNSUPPORTED"},
		{"HC-006 long name", "GET", "/v2/" + long + "/" + long + "/manifests/t", 400, "NAME_INVALID"},
		{"HC-006 many parts", "GET", "/v2/" + strings.Repeat("a/", 65) + "manifests/t", 400, "NAME_INVALID"},
		{"HC-006 long tag", "GET", "/v2/a/b/manifests/" + long, 400, "TAG_INVALID"},
		{"HC-006 tag that starts with a dash", "GET", "/v2/a/b/manifests/-x", 400, "TAG_INVALID"},
		{"HC-008 path in digest", "GET", "/v2/a/b/blobs/sha256:..%2f..%2fetc%2fpasswd", 400, "NAME_INVALID"},
		{"HC-008 short digest", "GET", "/v2/a/b/blobs/sha256:abc", 400, "DIGEST_INVALID"},
		{"HC-008 upper-case digest", "GET", "/v2/a/b/blobs/sha256:" + strings.ToUpper(hex64), 400, "DIGEST_INVALID"},
		{"HC-008 empty digest", "GET", "/v2/a/b/blobs/sha256:", 400, "DIGEST_INVALID"},
		{"HC-009 md5", "GET", "/v2/a/b/manifests/md5:abcd", 400, "UNSUPPORTED"},
		{"HC-009 sha512", "GET", "/v2/a/b/manifests/sha512:" + hex64 + hex64, 400, "UNSUPPORTED"},
		{"HC-009 unregistered", "GET", "/v2/a/b/manifests/foo:abcd", 400, "DIGEST_INVALID"},
		{"HC-011 metadata address", "GET", "/v2/a/b/manifests/t?ns=169.254.169.254", 404, "NAME_UNKNOWN"},
		{"HC-011 local port", "GET", "/v2/a/b/manifests/t?ns=localhost:6379", 404, "NAME_UNKNOWN"},
		{"HC-011 URL", "GET", "/v2/a/b/manifests/t?ns=http://x", 404, "NAME_UNKNOWN"},
		{"HC-011 empty", "GET", "/v2/a/b/manifests/t?ns=", 404, "NAME_UNKNOWN"},
		{"HC-011 twice", "GET", "/v2/a/b/manifests/t?ns=docker.io&ns=ghcr.io", 400, "NAME_INVALID"},
		{"HC-011 trailing dot", "GET", "/v2/a/b/manifests/t?ns=docker.io.", 404, "NAME_UNKNOWN"},
		{"contradiction", "GET", "/v2/ghcr.io/org/app/manifests/t?ns=docker.io", 400, "NAME_INVALID"},
		{"registry that is not configured", "GET", "/v2/quay.io/org/app/manifests/t", 404, "NAME_UNKNOWN"},
		{"HC-015 push", "PUT", "/v2/a/b/manifests/t", 405, "UNSUPPORTED"},
		{"HC-015 upload", "POST", "/v2/a/b/blobs/uploads/", 405, "UNSUPPORTED"},
		{"HC-015 mount", "POST", "/v2/a/b/blobs/uploads/?mount=sha256:x&from=c", 405, "UNSUPPORTED"},
		{"HC-015 delete", "DELETE", "/v2/a/b/manifests/t", 405, "UNSUPPORTED"},
		{"HC-016 catalog", "GET", "/v2/_catalog?n=2147483647", 404, "UNSUPPORTED"},
		{"HC-016 page that is no number", "GET", "/v2/a/b/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"},
		{"HC-016 negative page", "GET", "/v2/a/b/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"},
		{"HC-027 long query", "GET", "/v2/a/b/manifests/t?" + strings.Repeat("a=b&", 2000), 400, "UNSUPPORTED"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req, err := testNames().parse(request(test.method, test.target, "w"))
			var a *answer
			if !errors.As(err, &a) {
				t.Fatalf("got %+v, %v", req, err)
			}
			if a.status != test.status || a.code != test.code {
				t.Errorf("got %d %s (%s), want %d %s", a.status, a.code, a.message, test.status, test.code)
			}
		})
	}
}

func TestAbsoluteFormIsNoForwardProxy(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "http://evil.example/v2/a/b/manifests/t", nil)
	if _, err := testNames().parse(r); err == nil {
		t.Error("an absolute-form request URI was served (HC-013)")
	}
}

// FuzzRoute checks that a request that is taken names what distribution's own grammar would read in it, and that what
// is fetched is what policy is asked about: rendering and parsing the reference gives the same.
func FuzzRoute(f *testing.F) {
	f.Add("library/nginx", "1.27")
	f.Add("a/b__c/d---e", "sha256:"+hex64)
	f.Add("ghcr.io/x", "latest")
	f.Fuzz(func(t *testing.T, name, ref string) {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.URL.Scheme, r.URL.Host, r.URL.Path, r.Host = "", "", "/v2/"+name+"/manifests/"+ref, "w"
		req, err := testNames().parse(r)
		if err != nil {
			return
		}
		named, err := reference.Parse(req.Reference.String())
		if err != nil {
			t.Fatalf("took %q, which distribution refuses: %v", req.Reference, err)
		}
		if got := named.(reference.Named).Name(); got != req.Reference.Name() {
			t.Fatalf("name %q here, %q there", req.Reference.Name(), got)
		}
		if req.Reference.String() != named.String() {
			t.Fatalf("%q here, %q there", req.Reference, named)
		}
	})
}

func TestRangesAreSingleOrIgnored(t *testing.T) {
	t.Parallel()
	tests := []struct {
		value string
		want  part
		err   error
	}{
		{"bytes=0-0", part{0, 1, true}, nil},
		{"bytes=5-", part{5, 95, true}, nil},
		{"bytes=5-1000", part{5, 95, true}, nil},
		{"bytes=-10", part{90, 10, true}, nil},
		{"bytes=-1000", part{0, 100, true}, nil},
		{"bytes=100-", part{}, errRangeOutside},
		{"bytes=99999999999999999999-", part{}, errRangeOutside},
		{"bytes=-0", part{}, errRangeOutside},
		{"bytes=0-0,2-3", part{}, errRangeIgnored},
		{"bytes=5-4", part{}, errRangeIgnored},
		{"bytes=-", part{}, errRangeIgnored},
		{"bytes=a-b", part{}, errRangeIgnored},
		{"bytes=+1-2", part{}, errRangeIgnored},
		{"items=0-1", part{}, errRangeIgnored},
	}
	for _, test := range tests {
		if got, err := parseRange(test.value, 100); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: got %+v, %v; want %+v, %v", test.value, got, err, test.want, test.err)
		}
	}
}

// FuzzRange checks that a range lies within the blob, whatever the header says.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-0", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		if p, err := parseRange(value, size); err == nil && (p.start < 0 || p.length <= 0 || p.start+p.length > size) {
			t.Fatalf("%q of %d: %+v", value, size, p)
		}
	})
}

func TestAcceptDecidesByListedTypesOnly(t *testing.T) {
	t.Parallel()
	const oci = "application/vnd.oci.image.manifest.v1+json"
	tests := []struct {
		accept []string
		want   bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{"*/*"}, true},
		{[]string{"application/vnd.docker.distribution.manifest.v2+json, " + oci + ";q=0.5"}, true},
		{[]string{"application/vnd.docker.distribution.manifest.v2+json", oci}, true},
		{[]string{"application/vnd.docker.distribution.manifest.v1+prettyjws"}, false},
		{[]string{strings.Repeat("a/b,", 1000) + oci}, true},
	}
	for _, test := range tests {
		if got := accepts(test.accept, oci); got != test.want {
			t.Errorf("%.60v: got %v", test.accept, got)
		}
	}
}

// FuzzAcceptHeader checks that whatever else a header lists, the type it lists is taken.
func FuzzAcceptHeader(f *testing.F) {
	f.Add("application/*;q=0, text/html")
	f.Fuzz(func(t *testing.T, header string) {
		for _, also := range []string{"a/b", "A/B;q=0.1", " a/b ", "*/*"} {
			if !accepts([]string{header + "," + also}, "a/b") || !accepts([]string{header, also}, "a/b") {
				t.Fatalf("%q and %q do not take a/b", header, also)
			}
		}
	})
}

func TestWhatIsShownIsOneLineWithoutControlCharacters(t *testing.T) {
	t.Parallel()
	got := oneLine("a\r\nb\x1b[31m\u202ec\xff"+strings.Repeat("é", 300), 300)
	if len(got) > 300 || strings.ContainsAny(got, "\r\n\x1b\u202e\xff") {
		t.Errorf("got %q", got)
	}
	if w := warning("a\"b\\c\r\né"); w != `299 - "a\"b\\c??`+"?"+`"` {
		t.Errorf("got %q", w)
	}
	if h := safeHost("evil\r\nx"); h != "winnow" {
		t.Errorf("got %q", h)
	}
}
