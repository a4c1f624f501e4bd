package cache_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/winnow-registry/winnow/cache"
	"github.com/winnow-registry/winnow/cache/cachetest"
)

func openRedis(t *testing.T, opts cache.Redis) *cache.RedisBackend {
	t.Helper()
	b, err := cache.OpenRedis(opts, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func conforms(t *testing.T, opts cache.Redis) {
	t.Helper()
	one, other := openRedis(t, opts), openRedis(t, opts)
	if err := one.Ping(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	cachetest.Run(t, one, other)
}

func TestEmbeddedConforms(t *testing.T) {
	t.Parallel()
	b, err := cache.OpenEmbedded(filepath.Join(t.TempDir(), "cache.db"), 64<<20, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cachetest.Run(t, b, nil)
}

func TestSingleRedisConforms(t *testing.T) {
	t.Parallel()
	conforms(t, cache.Redis{Addresses: []string{cachetest.Start(t).Addr}})
}

func TestClusterConforms(t *testing.T) {
	t.Parallel()
	conforms(t, cache.Redis{Addresses: cachetest.Addrs(cachetest.Cluster(t))})
}

func TestSentinelConforms(t *testing.T) {
	t.Parallel()
	s := cachetest.StartSentinel(t)
	conforms(t, cache.Redis{Addresses: cachetest.Addrs(s.Sentinels), SentinelMaster: cachetest.MasterName})
}

// The user has the rights that the documentation of RedisBackend lists, and no others.
func TestACLUserWithTheDocumentedRightsConforms(t *testing.T) {
	t.Parallel()
	s := cachetest.Start(t)
	s.CLI("ACL", "SETUSER", "winnow", "on", ">secret of winnow", "~winnow:*", "&winnow:*",
		"+get", "+set", "+getrange", "+unlink", "+type", "+pttl", "+pexpire", "+hset", "+hget", "+hlen", "+hkeys", "+hexists",
		"+hdel", "+hstrlen", "+eval", "+time", "+ping", "+publish", "+subscribe")
	s.CLI("ACL", "SETUSER", "default", "off")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret of winnow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conforms(t, cache.Redis{Addresses: []string{s.Addr}, Username: "winnow", PasswordFile: file})
}

func TestTLSRedisConforms(t *testing.T) {
	t.Parallel()
	cert, key, roots := selfSigned(t)
	s := cachetest.StartTLS(t, cert, key)
	conforms(t, cache.Redis{
		Addresses: []string{s.Addr}, TLS: true, TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	})
	plain := openRedis(t, cache.Redis{Addresses: []string{s.Addr}})
	if err := plain.Ping(t.Context(), "test"); err == nil {
		t.Error("the server takes plain connections: the test above proves nothing")
	}
}

func selfSigned(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for file, b := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}
