package registry

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	tokenIssuer  = "upstream tokens"
	tokenService = "upstream"
	tokenKeyID   = "k1"
	// tokenLife is short enough to show in tests what expires, and as long as Docker Hub's.
	tokenLife = 5 * time.Minute
)

// A TokenServer gives tokens as the distribution token specification describes: GET with service and scope, HTTP basic
// authentication where somebody must be known.
type TokenServer struct {
	URL string

	key       ed25519.PrivateKey
	anonymous bool
	server    *httptest.Server

	mu     sync.Mutex
	scopes []string
}

func newTokenServer(t testing.TB, anonymous bool) *TokenServer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatalf("making the key of the token server: %v", err)
	}
	s := &TokenServer{key: key, anonymous: anonymous}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	// By name: go-containerregistry refuses a realm that is the address of a private network.
	s.URL = strings.Replace(s.server.URL, "127.0.0.1", "localhost", 1) + "/token"
	return s
}

// Scopes returns the scopes for which tokens were asked, in order.
func (s *TokenServer) Scopes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.scopes)
}

// options returns what distribution's token access controller must know to accept our tokens.
func (s *TokenServer) options(t testing.TB, dir string) map[string]any {
	t.Helper()
	public := s.key.Public().(ed25519.PublicKey)
	keys, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "OKP", "crv": "Ed25519", "kid": tokenKeyID, "x": base64.RawURLEncoding.EncodeToString(public),
	}}})
	if err != nil {
		t.Fatalf("writing the keys of the token server: %v", err)
	}
	path := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		t.Fatalf("writing the keys of the token server: %v", err)
	}
	return map[string]any{"realm": s.URL, "service": tokenService, "issuer": tokenIssuer, "jwks": path}
}

func (s *TokenServer) serve(w http.ResponseWriter, req *http.Request) {
	user, password, given := req.BasicAuth()
	known := given && user == User && password == Password
	if given && !known || !given && !s.anonymous {
		http.Error(w, `{"details":"wrong user or password"}`, http.StatusUnauthorized)
		return
	}
	scopes := req.URL.Query()["scope"]
	s.mu.Lock()
	s.scopes = append(s.scopes, scopes...)
	s.mu.Unlock()

	token, err := s.sign(access(scopes, known), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": int(tokenLife.Seconds())})
}

type resource struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// access grants what the scopes ask for; who is not known may pull only.
func access(scopes []string, known bool) []resource {
	out := []resource{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		kind, rest, _ := strings.Cut(scope, ":")
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			continue
		}
		actions := strings.Split(rest[i+1:], ",")
		if !known {
			actions = slices.DeleteFunc(actions, func(a string) bool { return a != "pull" })
		}
		out = append(out, resource{Type: kind, Name: rest[:i], Actions: actions})
	}
	return out
}

// sign makes a JSON Web Token (RFC 7519) with EdDSA (RFC 8037).
func (s *TokenServer) sign(granted []resource, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": tokenKeyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": tokenIssuer, "sub": User, "aud": tokenService, "access": granted,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(claims)
	return signed + "." + encode(ed25519.Sign(s.key, []byte(signed))), nil
}

func pemCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Host returns host:port of the server, as registries name those they trust.
func (s *TokenServer) Host() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/token")
}
