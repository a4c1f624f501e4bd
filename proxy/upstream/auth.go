package upstream

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxTokens     = 4096             // tokens kept: one per repository that was asked for lately
	lockoutPause  = 10 * time.Second // after refused credentials, so that we do not lock the account
	maxBasic401   = 3                // in a row: some registries answer 401 for one repository of many
	bearerScheme  = "bearer"
	basicScheme   = "basic"
	tokenLifeUsed = 10 // a token is used for nine tenths of its life
)

// An authorizer finds the Authorization header of requests to one registry. It remembers how the registry wants to
// be spoken to, so that only the first request of all is answered by a challenge.
type authorizer struct {
	flight singleflight.Group

	mu       sync.Mutex
	last     *challenge
	tokens   map[string]token // by realm, service and scope
	rejected secret           // the credentials that were refused
	until    time.Time        // when they may be tried again
	basic401 int              // refusals since the last answer that was none
}

type token struct {
	value   string
	expires time.Time
}

func newAuthorizer() *authorizer { return &authorizer{tokens: make(map[string]token)} }

// authorization returns the header for a request about repository, "" for none.
func (r *registry) authorization(ctx context.Context, repository string) (string, error) {
	r.auth.mu.Lock()
	last := r.auth.last
	r.auth.mu.Unlock()
	if last == nil {
		return "", nil
	}
	header, err := r.answer(ctx, *last, repository, "")
	if err != nil {
		// The registry may have moved to another token server since: let the next request ask it.
		r.auth.mu.Lock()
		r.auth.last = nil
		r.auth.mu.Unlock()
	}
	return header, err
}

// reauthorize answers a 401. used is the header that was not accepted.
func (r *registry) reauthorize(ctx context.Context, resp *http.Response, repository, used string) (string, error) {
	c, ok, err := r.pick(parseChallenges(resp.Header.Values("WWW-Authenticate")))
	if err != nil {
		return "", err
	}
	if !ok {
		return "", r.unauthorized(resp)
	}
	header, err := r.answer(ctx, c, repository, used)
	if err != nil {
		return "", err
	}
	if header == "" || header == used {
		r.basicRefused(ctx, used)
		return "", r.unauthorized(resp)
	}
	r.auth.mu.Lock()
	r.auth.last = &c
	r.auth.mu.Unlock()
	return header, nil
}

// pick chooses the challenge to answer: a bearer token where one is offered, else basic. A realm outside the closed
// world is an error even when another challenge stands beside it: an honest registry names none.
func (r *registry) pick(list []challenge) (challenge, bool, error) {
	var basic *challenge
	for i, c := range list {
		switch c.scheme {
		case bearerScheme:
			if _, err := r.realm(c); err != nil {
				return challenge{}, false, err
			}
			return c, true, nil
		case basicScheme:
			basic = &list[i]
		}
	}
	if basic == nil {
		return challenge{}, false, nil
	}
	return *basic, true, nil
}

// answer makes the header that a challenge asks for; a token that equals used is fetched anew.
func (r *registry) answer(ctx context.Context, c challenge, repository, used string) (string, error) {
	if c.scheme == bearerScheme {
		value, err := r.token(ctx, c, repository, used)
		if err != nil {
			return "", err
		}
		return "Bearer " + value, nil
	}
	s, err := r.credentials(ctx)
	if err != nil || s.username == "" {
		return "", err
	}
	return basicHeader(s), nil
}

func basicHeader(s secret) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s.username+":"+s.password))
}

// credentials returns the upstream's credentials, unless they were refused a moment ago.
func (r *registry) credentials(ctx context.Context) (secret, error) {
	s, err := r.keys.get(ctx)
	if err != nil {
		return secret{}, r.fault(http.StatusServiceUnavailable, reasonAuth, "finding credentials: %w", err)
	}
	if s.anonymous() {
		return s, nil
	}
	r.auth.mu.Lock()
	defer r.auth.mu.Unlock()
	if wait := time.Until(r.auth.until); wait > 0 && s == r.auth.rejected {
		e := r.fault(http.StatusServiceUnavailable, reasonAuth, "the configured credentials were refused; not trying them again yet")
		e.Retry = wait
		return secret{}, e
	}
	return s, nil
}

// rejectCredentials notes that the present credentials were refused.
func (r *registry) rejectCredentials(s secret) {
	r.keys.forget()
	r.auth.mu.Lock()
	defer r.auth.mu.Unlock()
	r.auth.rejected, r.auth.until = s, time.Now().Add(lockoutPause)
}

// basicRefused counts a 401 that answered a password.
func (r *registry) basicRefused(ctx context.Context, header string) {
	s, err := r.keys.get(ctx)
	if err != nil || s.username == "" || header != basicHeader(s) {
		return
	}
	r.auth.mu.Lock()
	r.auth.basic401++
	lock := r.auth.basic401 >= maxBasic401
	r.auth.mu.Unlock()
	if lock {
		r.rejectCredentials(s)
	}
}

// accepted notes that a request was answered.
func (a *authorizer) accepted() {
	a.mu.Lock()
	a.basic401 = 0
	a.mu.Unlock()
}

// unauthorized is the Error for a 401 of the registry that stays. Without credentials it means that the repository is
// not for everybody (or, at Docker Hub, that there is none). With them it means that they do not work, unless the
// registry says that they are good for less than this (RFC 6750, section 3.1).
func (r *registry) unauthorized(resp *http.Response) *Error {
	e := r.unauthorizedBy(resp)
	e.answer = resp.StatusCode
	return e
}

func (r *registry) unauthorizedBy(resp *http.Response) *Error {
	if !r.keys.configured() {
		return r.fault(http.StatusForbidden, reasonForbidden, "it does not give this repository to anonymous clients")
	}
	for _, c := range parseChallenges(resp.Header.Values("WWW-Authenticate")) {
		if c.params["error"] == "insufficient_scope" {
			return r.fault(http.StatusForbidden, reasonForbidden, "the configured credentials do not reach this repository")
		}
	}
	e := r.fault(http.StatusServiceUnavailable, reasonAuth, "it refuses the configured credentials (401)")
	e.Retry = lockoutPause
	return e
}
