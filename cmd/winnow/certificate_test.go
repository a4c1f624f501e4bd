package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/configs"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/proxy"
	"github.com/winnow-registry/winnow/proxy/audit"
)

// An authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, time.Hour)
	return a
}

// sign writes name.crt and name.key.
func (a *authority) sign(name string, template *x509.Certificate, life time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(life)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// client returns a transport that trusts a and shows the named certificate of by.
func (a *authority) client(by *authority, name string) *http.Transport {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.cert)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(by.path(name+".crt"), by.path(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	a.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func TestClientCertificateIsTheIdentity(t *testing.T) {
	t.Parallel()
	up := registry.Start(t, registry.Options{})
	push(t, up, "library/app:1", good(1))
	push(t, up, "library/bad:1", root(1))
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.sign("server", &x509.Certificate{}, time.Hour)
	ours.sign("node-7", &x509.Certificate{}, time.Hour)
	ours.sign("old", &x509.Certificate{}, -time.Hour)
	theirs.sign("node-7", &x509.Certificate{}, time.Hour)
	r := start(t, up.URL, noRoot, func(c *configs.Config) {
		c.Listen.TLS = configs.TLS{CertFile: ours.path("server.crt"), KeyFile: ours.path("server.key"), ClientCAFile: ours.path("ca.crt")}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &proxy.Server{Handler: r.front, TLS: r.cert.Config()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	get := func(client *http.Transport, method, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+listener.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	resp, err := get(ours.client(ours, "node-7"), "GET", "/v2/app/manifests/1")
	if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 1 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if resp, err = get(ours.client(ours, "node-7"), "HEAD", "/v2/bad/manifests/1"); err != nil || !strings.HasPrefix(resp.Status, "403 no-root: ") {
		t.Errorf("%+v, %v", resp, err)
	}
	h2 := ours.client(ours, "node-7")
	h2.Protocols = new(http.Protocols)
	h2.Protocols.SetHTTP2(true)
	if resp, err = get(h2, "HEAD", "/v2/bad/manifests/1"); err != nil || resp.StatusCode != 403 || resp.ProtoMajor != 2 {
		t.Errorf("over HTTP/2: %+v, %v", resp, err)
	}
	for name, client := range map[string]*http.Transport{
		"none": ours.client(nil, ""), "of another authority (HC-039)": ours.client(theirs, "node-7"), "expired (HC-039)": ours.client(ours, "old"),
	} {
		if resp, err := get(client, "GET", "/v2/app/manifests/1"); err == nil {
			t.Errorf("certificate %s: %s", name, resp.Status)
		}
	}
	for _, x := range r.records(audit.EventDecided) {
		if x.Client.User != "node-7" {
			t.Errorf("recorded as %q", x.Client.User)
		}
	}
}
