package upstream

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	type c = challenge
	for _, tt := range []struct {
		name    string
		headers []string
		want    []c
	}{
		{"Docker Hub", []string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"`}, []c{
			{"bearer", map[string]string{"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:a/b:pull,push"}},
		}},
		{"two in one header", []string{`Basic realm="a, Bearer realm=b", BEARER Realm = "c"`}, []c{
			{"basic", map[string]string{"realm": "a, Bearer realm=b"}}, {"bearer", map[string]string{"realm": "c"}},
		}},
		{"two headers", []string{"Negotiate", `Basic realm=x`}, []c{{"negotiate", map[string]string{}}, {"basic", map[string]string{"realm": "x"}}}},
		{"token68", []string{`Negotiate abc/def==, Basic realm="x"`}, []c{
			{"negotiate", map[string]string{}}, {"basic", map[string]string{"realm": "x"}},
		}},
		{"escaped quote", []string{`Bearer realm="a\"b\\c"`}, []c{{"bearer", map[string]string{"realm": `a"b\c`}}}},
		{"first of a repeated key", []string{`Bearer realm="a",realm="b"`}, []c{{"bearer", map[string]string{"realm": "a"}}}},
		{"unquoted URL", []string{`Bearer realm=https://a/token,service=s`}, []c{{"bearer", map[string]string{"realm": "https://a/token", "service": "s"}}}},
		{"open quote", []string{`Bearer realm="a`}, nil},
		{"nothing", []string{"", ",,"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := parseChallenges(tt.headers)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(challenge{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// realmRegistry is a registry as far as realms need one.
func realmRegistry(tb testing.TB, e Endpoint) *registry {
	tb.Helper()
	opts := &Options{}
	opts.setDefaults()
	count, err := newCounters(nil)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := newRegistry(e, opts, count)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func FuzzWWWAuthenticate(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.docker.io/token",service="s"`, `Basic realm="x", Bearer realm="https://evil.test/"`,
		`Bearer realm="https://auth.docker.io@evil.test"`, `Negotiate a/b==`, `Bearer realm="https://auth.docker.io:443/\"`,
	} {
		f.Add(seed)
	}
	r := realmRegistry(f, Endpoint{Name: "docker.io"})
	f.Fuzz(func(t *testing.T, header string) {
		list := parseChallenges([]string{header})
		if len(list) > maxChallenges {
			t.Fatalf("%d challenges", len(list))
		}
		for _, c := range list {
			u, err := r.realm(c)
			if err == nil && (u.Scheme != "https" || u.User != nil || !strings.EqualFold(u.Hostname(), "auth.docker.io") && !strings.EqualFold(u.Hostname(), "registry-1.docker.io")) {
				t.Fatalf("%q sends credentials to %s", header, u)
			}
		}
	})
}

func FuzzTokenResponse(f *testing.F) {
	for _, seed := range []string{`{"token":"abc","expires_in":300}`, `{"access_token":"a.b-c_d~+/="}`, `{"token":"a\r\nb"}`, `{"token":"x","expires_in":-1e99}`, `[`} {
		f.Add([]byte(seed))
	}
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseToken(body, now)
		if err != nil {
			return
		}
		if got.value == "" || len(got.value) > maxToken || strings.ContainsAny(got.value, " \r\n\x00\"") {
			t.Fatalf("took %q", got.value)
		}
		if life := got.expires.Sub(now); life < minTokenLife/2 || life > maxTokenLife {
			t.Fatalf("lives %v", life)
		}
	})
}

func FuzzLinkHeader(f *testing.F) {
	for _, seed := range []string{`</v2/a/tags/list?n=2&last=b>; rel="next"`, `<http://evil/v2/a/tags/list?last=x>; rel=next`, `<?last=b>;title="a,b";rel=next`, `<//evil/v2/a/tags/list?last=b>; rel=next`, `<`} {
		f.Add(seed)
	}
	asked := &url.URL{Scheme: "https", Host: "registry.test", Path: "/v2/a/tags/list"}
	f.Fuzz(func(t *testing.T, header string) {
		values, ok := nextPage([]string{header}, asked)
		if ok && (len(values) == 0 || len(values) > maxLinkQuery || len(header) > maxLink) {
			t.Fatalf("%q became %v", header, values)
		}
		if ok && !strings.Contains(strings.ToLower(header), "next") {
			t.Fatalf("%q is no next page", header)
		}
	})
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for class, addresses := range map[addressClass][]string{
		addressPublic: {"8.8.8.8", "1.1.1.1", "2606:4700::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8", "172.32.0.1", "100.128.0.1"},
		addressPrivate: {
			"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255",
			"::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fdff::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1",
			"2002:a00:1::1", "2002:7f00:1::", "::127.0.0.1", "198.18.0.1", "2001:0:1::1", "2001:db8::1",
		},
		addressNever: {
			"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "ff02::1", "169.254.169.254", "::ffff:169.254.169.254",
			"64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254", "100.100.100.200",
		},
	} {
		for _, address := range addresses {
			if got := classify(netip.MustParseAddr(address)); got != class {
				t.Errorf("%s is of class %d, want %d", address, got, class)
			}
		}
	}
	if classify(netip.Addr{}) != addressNever {
		t.Error("no address may be dialled")
	}
}

func TestKnownHostsOfDockerHub(t *testing.T) {
	t.Parallel()
	rules := realmRegistry(t, Endpoint{Name: "docker.io", BlobHosts: []string{"mirror.test:8443"}}).hosts
	for text, want := range map[string]bool{
		"https://production.cloudflare.docker.com/x":                       true,
		"https://PRODUCTION.cloudflare.docker.com:443/x":                   true,
		"https://docker-images-prod.s3.dualstack.us-east-1.amazonaws.com/": true,
		"https://registry-1.docker.io/":                                    true,
		"https://mirror.test:8443/":                                        true,
		"https://mirror.test/":                                             false,
		"https://docker-images-prod.s3.dualstack.x.y.amazonaws.com/":       false,
		"https://evil.s3.dualstack.us-east-1.amazonaws.com/":               false,
		"https://auth.docker.io/":                                          false, // it issues tokens and holds no blobs
		"https://production.cloudflare.docker.com.evil.test/":              false,
		"https://xproduction.cloudflare.docker.com/":                       false,
		"https://production.cloudflare.docker.com./":                       false,
		"https://production.cloudflare.docker.com:444/":                    false,
		"http://production.cloudflare.docker.com/":                         true, // by name; the scheme is refused before
		"https://[::1]/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.allows(u, useBlob); got != want {
			t.Errorf("%s allowed: %v, want %v", text, got, want)
		}
	}
	if _, ok := rules.target("production.cloudflare.docker.com", "80"); ok {
		t.Error("an https upstream's host would be dialled at port 80")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 5 * time.Second, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-3": 5 * time.Second, "soon": 5 * time.Second, "NaN": 5 * time.Second,
		"315360000": maxRetryWait, "1e300": maxRetryWait, "Inf": maxRetryWait,
		now.Add(20 * time.Second).Format(http.TimeFormat):  20 * time.Second,
		now.Add(-20 * time.Second).Format(http.TimeFormat): 5 * time.Second,
		now.AddDate(10, 0, 0).Format(http.TimeFormat):      maxRetryWait,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now, 5*time.Second); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// FM-14: a host that stays down is asked once per pause, and used again as soon as one probe succeeds.
func TestBreakerProbesOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{threshold: 3, base: time.Second}
		for range 3 {
			if _, ok := b.allow(); !ok {
				t.Fatal("open before the threshold")
			}
			b.report(outcomeFault)
		}
		probes := 0
		for range 600 { // ten minutes, ten requests a second
			for range 10 {
				if _, ok := b.allow(); ok {
					probes++
					if _, ok := b.allow(); ok {
						t.Fatal("two probes at once")
					}
					b.report(outcomeFault)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if probes < 600/16 || probes > 600/16+6 {
			t.Errorf("%d probes in ten minutes", probes)
		}
		time.Sleep(16 * time.Second)
		if _, ok := b.allow(); !ok {
			t.Fatal("no probe after the longest pause")
		}
		b.report(outcomeUnknown) // the prober left: the next one probes
		if _, ok := b.allow(); !ok {
			t.Fatal("a probe that nobody waited for blocks the next")
		}
		b.report(outcomeOK)
		for range 2 {
			if _, ok := b.allow(); !ok {
				t.Fatal("still open after a success")
			}
		}
	})
}

func TestBreakerOpensAtOnceForABlackHole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{threshold: 5, base: time.Second}
		b.allow()
		b.report(outcomeHang)
		if wait, ok := b.allow(); ok || wait != time.Second {
			t.Errorf("allowed %v, wait %v", ok, wait)
		}
	})
}

func TestQuietIsNotCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &health{}
		h.hush(time.Minute)
		h.hush(time.Second)
		if got := h.hushed(); got != time.Minute {
			t.Errorf("quiet for %v", got)
		}
		time.Sleep(time.Minute)
		if got := h.hushed(); got > 0 {
			t.Errorf("still quiet for %v", got)
		}
	})
}
