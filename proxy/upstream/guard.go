package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// addressClass says how far an IP address may be dialled.
type addressClass uint8

const (
	addressPublic  addressClass = iota // by every upstream
	addressPrivate                     // by an upstream that says private: true
	addressNever                       // by none
)

// privatePrefixes are the special-purpose ranges (IANA registries, RFC 6890 and its updates) that lead into the
// network Winnow itself runs in, or nowhere.
var privatePrefixes = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"100.64.0.0/10",                 // carrier-grade NAT, RFC 6598
	"127.0.0.0/8", "169.254.0.0/16", // loopback, link-local
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", // protocol assignments, documentation, 6to4 relays
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", // benchmarks, documentation
	"::1/128", "fe80::/10", "fec0::/10", "fc00::/7", // loopback, link-local, site-local, unique local
	"64:ff9b:1::/48", // local-use NAT64, RFC 8215: what it embeds is up to the network
	"100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
)

// neverPrefixes hold no registry: unspecified (which dials loopback), multicast, reserved and broadcast, and the
// instance metadata services of clouds, which even a private upstream has no business with.
var neverPrefixes = prefixes(
	"0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4",
	"169.254.169.254/32", "169.254.170.2/32", "168.63.129.16/32", "100.100.100.200/32",
	"::/128", "ff00::/8", "fd00:ec2::/32",
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// classify returns the class of an address. A form that carries an IPv4 address is judged by that address, since
// the network may unpack it.
func classify(ip netip.Addr) addressClass {
	ip = ip.WithZone("").Unmap()
	if !ip.IsValid() || within(neverPrefixes, ip) {
		return addressNever
	}
	if within(privatePrefixes, ip) {
		return addressPrivate
	}
	if inner, ok := embedded(ip); ok {
		return classify(inner)
	}
	return addressPublic
}

// embedded returns the IPv4 address that an IPv6 address carries: IPv4-compatible (RFC 4291), 6to4 (RFC 3056) or
// NAT64 (RFC 6052). Teredo is among the private prefixes as a whole.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip), netip.MustParsePrefix("::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// A refusedDialError says that a connection was not opened because the closed world does not hold its target.
type refusedDialError struct{ target, why string }

func (e *refusedDialError) Error() string { return "not dialling " + e.target + ": " + e.why }

// dial opens the connections of this registry: to its hosts, or to the egress proxy, and to nothing else. The
// address is checked after resolution, by the function that the dialer calls with the socket's real target.
func (r *registry) dial(ctx context.Context, network, address string) (net.Conn, error) {
	private := r.proxies.has(address)
	if !private {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, &refusedDialError{printable(address), "not host:port"}
		}
		rule, ok := r.hosts.target(strings.ToLower(host), port)
		if !ok {
			r.count.refused(r.name, reasonRefusedAddress)
			return nil, &refusedDialError{printable(address), "not a host of this upstream"}
		}
		private = rule.private
	}
	dialer := net.Dialer{
		Timeout:   r.opts.ConnectTimeout,
		KeepAlive: keepAlive,
		Resolver:  r.opts.Resolver,
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			return r.checkAddress(address, resolved, private)
		},
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

// checkAddress refuses an address that this target may not resolve to.
func (r *registry) checkAddress(target, resolved string, private bool) error {
	ap, err := netip.ParseAddrPort(resolved)
	if err != nil {
		r.count.refused(r.name, reasonRefusedAddress)
		return &refusedDialError{target, "its address cannot be read"}
	}
	class := classify(ap.Addr())
	if class == addressPublic || (class == addressPrivate && private) {
		return nil
	}
	r.count.refused(r.name, reasonRefusedAddress)
	why := fmt.Sprintf("it resolves to %s, which is private; if that is meant, set private: true for the upstream", ap.Addr())
	if class == addressNever {
		why = fmt.Sprintf("it resolves to %s, where no registry is", ap.Addr())
	}
	return &refusedDialError{target, why}
}
