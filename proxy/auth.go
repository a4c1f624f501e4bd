package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // registers the access controller

	"github.com/winnow-registry/winnow/proxy/admission"
)

const (
	// verifiedFor is how long a password that was verified is not verified again: bcrypt costs some 50 ms of CPU, and a
	// pull is a dozen requests. A changed htpasswd file takes effect within it, or at once by Flush.
	verifiedFor = 30 * time.Second
	// maxVerified identities are remembered; beyond, all are verified anew.
	maxVerified = 10_000
	// maxHashing bounds the passwords hashed at once, so that guessing does not take the CPU from pulls.
	maxHashing = 2
)

// An Authenticator says who asks. The nil Authenticator lets everybody in, and believes client certificates that the
// TLS listener verified.
type Authenticator struct {
	basic    auth.AccessController // nil: none
	certs    bool                  // whether a verified client certificate is enough
	key      [32]byte              // of the memory of verified credentials, which holds no password
	hashing  chan struct{}
	mu       sync.Mutex
	verified map[[32]byte]verified
}

type verified struct {
	user  string
	until time.Time
}

// NewAuthenticator returns one that asks for the users of an htpasswd file (bcrypt only), or for a verified client
// certificate where certs is set. With neither it is nil.
func NewAuthenticator(htpasswdFile string, certs bool) (*Authenticator, error) {
	if htpasswdFile == "" {
		return nil, nil
	}
	// distribution's controller makes a missing file, with a password of its own: not here.
	if _, err := os.Stat(htpasswdFile); err != nil {
		return nil, fmt.Errorf("reading auth.htpasswdFile: %w", err)
	}
	basic, err := auth.GetAccessController("htpasswd", map[string]any{"realm": "winnow", "path": htpasswdFile})
	if err != nil {
		return nil, fmt.Errorf("reading auth.htpasswdFile: %w", err)
	}
	a := &Authenticator{basic: basic, certs: certs, hashing: make(chan struct{}, maxHashing)}
	_, err = rand.Read(a.key[:])
	return a, err
}

// Flush forgets which credentials were verified.
func (a *Authenticator) Flush() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.verified)
}

// identify returns who sent r, or an error that asks for credentials.
func (a *Authenticator) identify(r *http.Request) (admission.Requester, error) {
	who := admission.Requester{IP: peer(r.RemoteAddr), Agent: r.UserAgent()}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		leaf := r.TLS.VerifiedChains[0][0]
		who.User = leaf.Subject.CommonName
		if who.User == "" && len(leaf.DNSNames) > 0 {
			who.User = leaf.DNSNames[0]
		}
		if a == nil || a.certs {
			return who, nil
		}
	}
	if a == nil {
		return who, nil
	}
	user, err := a.password(r)
	who.User = user
	return who, err
}

func (a *Authenticator) password(r *http.Request) (string, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return "", wantCredentials("credentials are needed")
	}
	mac := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(mac, "%d:%s%s", len(name), name, password)
	id := [32]byte(mac.Sum(nil))
	a.mu.Lock()
	known, ok := a.verified[id]
	a.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.user, nil
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-r.Context().Done():
		return "", r.Context().Err()
	}
	grant, err := a.basic.Authorized(r)
	var challenge auth.Challenge
	if errors.As(err, &challenge) {
		return "", wantCredentials("user or password is wrong")
	}
	if err != nil {
		return "", fmt.Errorf("checking credentials: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verified == nil || len(a.verified) >= maxVerified {
		a.verified = map[[32]byte]verified{}
	}
	a.verified[id] = verified{user: grant.User.Name, until: time.Now().Add(verifiedFor)}
	return grant.User.Name, nil
}

func wantCredentials(message string) error {
	return &answer{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: message, reason: "unauthorized"}
}
