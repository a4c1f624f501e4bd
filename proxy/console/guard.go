package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard sets what browsers need to keep the console to itself, and turns away names by which a page elsewhere may
// have had its own domain point here (DNS rebinding).
func guard(hosts []string, next http.Handler) http.Handler {
	allowed := make([]string, len(hosts))
	for i, host := range hosts {
		allowed[i] = strings.ToLower(host)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		host := hostname(r.Host)
		if !unclaimable(host) && !slices.Contains(allowed, host) {
			http.Error(w, fmt.Sprintf("the console does not answer to the name %q; use its address or localhost", host),
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostname takes the port and the root's dot off a Host header.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// unclaimable reports whether no stranger can make host lead here: addresses are not looked up, names without a dot and
// those under localhost, svc, cluster.local and internal (RFC 6761, Kubernetes, ICANN) cannot be registered.
func unclaimable(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" {
		return false
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".svc", ".cluster.local", ".internal"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// sameOrigin refuses what a browser asks for on behalf of another page: a profile is costly to make.
func sameOrigin(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			next(w, r)
		default:
			http.Error(w, "profiles are not given to pages of other sites", http.StatusForbidden)
		}
	})
}
