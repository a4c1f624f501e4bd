package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// upstreamName is how Winnow's configuration calls the upstream.
const upstreamName = "upstream.test"

func (b *bench) startUpstream(ctx context.Context) (*server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd, err := b.role(roleUpstream, addr, b.content.dir)
	if err != nil {
		return nil, err
	}
	return b.serve(ctx, "upstream", addr, cmd)
}

// serve starts a server and waits until it answers.
func (b *bench) serve(ctx context.Context, name, addr string, cmd *exec.Cmd) (*server, error) {
	s, err := b.spawn(name, addr, cmd)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// winnowCommand prepares Winnow in a folder of its own: embedded policy and cache, filesystem, records with fsync.
func (b *bench) winnowCommand(upstreamURL string, secure bool) (s server, cmd *exec.Cmd, err error) {
	dir, err := os.MkdirTemp(b.dir, "winnow-data-")
	if err != nil {
		return s, nil, err
	}
	if s.addr, err = freePort(); err != nil {
		return s, nil, err
	}
	console, err := freePort()
	if err != nil {
		return s, nil, err
	}
	config := map[string]any{
		"listen":          map[string]any{"registry": s.addr, "console": console},
		"upstreams":       map[string]any{upstreamName: map[string]any{"url": upstreamURL, "private": true}},
		"defaultUpstream": upstreamName,
	}
	if secure {
		cert, key, err := certificate(b.dir)
		if err != nil {
			return s, nil, err
		}
		config["listen"].(map[string]any)["tls"] = map[string]any{"certFile": cert, "keyFile": key}
	}
	text, err := json.Marshal(config) // JSON is YAML
	if err != nil {
		return s, nil, err
	}
	path := filepath.Join(dir, "winnow.yaml")
	if err := write(path, string(text)); err != nil {
		return s, nil, err
	}
	cmd = exec.Command(b.winnow, "serve", "--config", path)
	cmd.Dir = dir
	for _, v := range os.Environ() { // the program refuses variables of its own that it does not know
		if !strings.HasPrefix(v, "WINNOW_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	s.secure, s.console = secure, "http://"+console
	return s, cmd, nil
}

func (b *bench) startWinnow(ctx context.Context, secure bool) (*server, error) {
	prepared, cmd, err := b.winnowCommand(b.upstream.url(""), secure)
	if err != nil {
		return nil, fmt.Errorf("preparing winnow: %w", err)
	}
	s, err := b.spawn("winnow", prepared.addr, cmd)
	if err != nil {
		return nil, err
	}
	s.secure, s.console = secure, prepared.console
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// distributionCommand prepares distribution as a proxy. Its tracing is off: it would look for a collector.
func (b *bench) distributionCommand(upstreamURL string) (addr string, cmd *exec.Cmd, err error) {
	dir, err := os.MkdirTemp(b.dir, "distribution-data-")
	if err != nil {
		return "", nil, err
	}
	if addr, err = freePort(); err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "info"},
		"http":    map[string]any{"addr": addr},
		"storage": map[string]any{"filesystem": map[string]any{"rootdirectory": filepath.Join(dir, "data")}},
		"proxy":   map[string]any{"remoteurl": upstreamURL},
	})
	if err != nil {
		return "", nil, err
	}
	path := filepath.Join(dir, "config.yml")
	cmd = exec.Command(b.registry, "serve", path)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	return addr, cmd, write(path, string(text))
}

func (b *bench) startDistribution(ctx context.Context) (*server, error) {
	addr, cmd, err := b.distributionCommand(b.upstream.url(""))
	if err != nil {
		return nil, fmt.Errorf("preparing distribution: %w", err)
	}
	return b.serve(ctx, "distribution", addr, cmd)
}

// startBare starts a bare server that gives these answers, by path.
func (b *bench) startBare(ctx context.Context, secure bool, a answers) (*server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, "answers-"+strings.ReplaceAll(addr, ":", "-")+".json")
	if err := write(path, string(text)); err != nil {
		return nil, err
	}
	args := []string{addr, path}
	if secure {
		cert, key, err := certificate(b.dir)
		if err != nil {
			return nil, err
		}
		args = append(args, cert, key)
	}
	cmd, err := b.role(roleBare, args...)
	if err != nil {
		return nil, err
	}
	s, err := b.spawn("bare", addr, cmd)
	if err != nil {
		return nil, err
	}
	s.secure = secure
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// certificate returns the one certificate of this run; it is made at the first call.
func certificate(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := os.Stat(keyFile); err == nil {
		return certFile, keyFile, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	if err := write(certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))); err != nil {
		return "", "", err
	}
	return certFile, keyFile, write(keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
