package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// A Certificate is the listener's identity, reloaded without a restart.
type Certificate struct {
	certFile, keyFile, clientCAFile string
	optional                        bool
	current                         atomic.Pointer[tls.Config]
}

// LoadCertificate reads a certificate with its key and, unless empty, the CA of client certificates. Those are
// required, or with optional only verified when a client sends one (it may then bring a password instead).
func LoadCertificate(certFile, keyFile, clientCAFile string, optional bool) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, clientCAFile: clientCAFile, optional: optional}
	return c, c.Reload()
}

// Reload reads the files again. On an error what was loaded before stays in use.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("loading listen.tls: %w", err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		// HTTP/1.1 first: Go's HTTP/2 takes twice the CPU for blobs, and cannot show a reason phrase.
		NextProtos: []string{"http/1.1", "h2"},
	}
	if c.clientCAFile != "" {
		pem, err := os.ReadFile(c.clientCAFile)
		if err != nil {
			return fmt.Errorf("loading listen.tls.clientCAFile: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return errors.New("loading listen.tls.clientCAFile: no PEM certificate in " + c.clientCAFile)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if c.optional {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	c.current.Store(config)
	return nil
}

// Config returns a configuration that follows Reload.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1", "h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load(), nil
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().Certificates[0], nil
		},
	}
}
