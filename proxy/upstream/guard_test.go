package upstream_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/winnow-registry/winnow/proxy/upstream"
)

// resolver answers every question for an A record with the addresses.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			q := m.Questions[0]
			for _, a := range addresses {
				ip := netip.MustParseAddr(a)
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
				switch {
				case q.Type == dnsmessage.TypeA && ip.Is4():
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
				case q.Type == dnsmessage.TypeAAAA && ip.Is6():
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
				}
			}
			out, _ := m.Pack()
			_, _ = conn.WriteTo(out, from)
		}
	})
	t.Cleanup(func() { _ = conn.Close(); served.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// HC-116 and FM-42: whatever a public upstream's name resolves to, the address is checked where it is dialled.
func TestPublicUpstreamIsNotDialledAtPrivateAddress(t *testing.T) {
	t.Parallel()
	server := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("was asked for %s", r.URL) }))
	_, port, _ := net.SplitHostPort(hostOf(server))
	for _, address := range []string{"127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fd00::1", "2002:7f00:1::1", "64:ff9b::7f00:1"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, upstream.Options{Resolver: resolver(t, address)},
				upstream.Endpoint{Name: "u", URL: "https://rebound.test:" + port})
			_, err := c.Resolve(t.Context(), "u", "a", "t")
			wantError(t, err, 502, "refused_address")
		})
	}
	t.Run("the permission of another upstream does not help", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, upstream.Options{Resolver: resolver(t, "127.0.0.1")},
			upstream.Endpoint{Name: "u", URL: "https://rebound.test:" + port},
			upstream.Endpoint{Name: "private", URL: "http://rebound.test:" + port, Private: true})
		_, err := c.Resolve(t.Context(), "u", "a", "t")
		wantError(t, err, 502, "refused_address")
	})
	t.Run("metadata services are for no one", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, upstream.Options{}, upstream.Endpoint{Name: "u", URL: "http://169.254.169.254", Private: true})
		_, err := c.Resolve(t.Context(), "u", "a", "t")
		wantError(t, err, 502, "refused_address")
	})
}

// FM-44: an egress proxy may be at a private address, and changes nothing of what may be asked for.
func TestEgressProxyMayBePrivateAndTheListStillHolds(t *testing.T) {
	t.Parallel()
	var through atomic.Int64
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.URL.Host != "registry.test" {
			t.Errorf("the proxy was asked for %s", r.URL)
		}
		if strings.HasSuffix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
			return
		}
		manifest([]byte("{}"))(w, r)
	}))
	u, _ := url.Parse(proxy.URL)
	opts := upstream.Options{Proxy: func(*http.Request) (*url.URL, error) { return u, nil }}
	c := newClient(t, opts, upstream.Endpoint{Name: "u", URL: "http://registry.test", Private: true})
	if _, _, err := c.Manifest(t.Context(), "u", "a", "t"); err != nil || through.Load() != 1 {
		t.Fatalf("%d requests through the proxy, %v", through.Load(), err)
	}
	_, _, err := c.Manifest(t.Context(), "u", "a", "moved")
	wantError(t, err, 502, "refused_redirect")
}
