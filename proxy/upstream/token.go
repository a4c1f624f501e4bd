package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxTokenBody  = 64 << 10         // bytes of a token server's answer
	maxToken      = 16 << 10         // bytes of a token: it goes into one header
	minTokenLife  = time.Minute      // the token specification's least, and what holds when none is given
	maxTokenLife  = time.Hour        // a longer one is not believed
	tokenTimeout  = 15 * time.Second // of one exchange, which several callers may wait for
	oauthClientID = "winnow"
)

// token returns a token to pull from repository. Callers that need the same one share one exchange, which none of
// them can cancel for the others.
func (r *registry) token(ctx context.Context, c challenge, repository, used string) (string, error) {
	realm, err := r.realm(c)
	if err != nil {
		return "", err
	}
	scope := "repository:" + repository + ":pull"
	key := realm.String() + "\x00" + c.params["service"] + "\x00" + scope
	r.auth.mu.Lock()
	t, ok := r.auth.tokens[key]
	r.auth.mu.Unlock()
	if ok && time.Now().Before(t.expires) && "Bearer "+t.value != used {
		return t.value, nil
	}
	done := r.auth.flight.DoChan(key, func() (any, error) {
		slow := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "no token within %v", tokenTimeout)
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), tokenTimeout, slow)
		defer cancel()
		t, err := r.exchange(ctx, realm, c.params["service"], scope)
		if err != nil {
			return "", err
		}
		r.auth.keep(key, t)
		return t.value, nil
	})
	select {
	case result := <-done:
		if result.Err != nil {
			return "", result.Err
		}
		return result.Val.(string), nil
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for a token of upstream %s: %w", r.name, context.Cause(ctx))
	}
}

func (a *authorizer) keep(key string, t token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tokens) >= maxTokens {
		now := time.Now()
		for k, old := range a.tokens {
			if now.After(old.expires) {
				delete(a.tokens, k)
			}
		}
		if len(a.tokens) >= maxTokens {
			clear(a.tokens)
		}
	}
	a.tokens[key] = t
}

// realm returns where a challenge sends us for a token, if credentials may go there.
func (r *registry) realm(c challenge) (*url.URL, error) {
	u, err := url.Parse(c.params["realm"])
	switch {
	case err != nil, u.Host == "", u.User != nil, u.Opaque != "":
	case u.Scheme != "https" && (u.Scheme != "http" || !r.plainRealm(u)):
	case !r.hosts.allows(u, useToken):
	default:
		u.Fragment = ""
		return u, nil
	}
	r.count.refused(r.name, reasonRefusedRealm)
	where := "a realm that is no URL"
	if err == nil && u.Host != "" {
		where = printable(u.Scheme + "://" + u.Host)
	}
	return nil, r.fault(http.StatusBadGateway, reasonRefusedRealm,
		"it asks us to authenticate at %s, which is not one of its tokenServers", where)
}

// plainRealm reports whether tokens may be asked for in the clear: where the registry itself is spoken to so, or is
// private.
func (r *registry) plainRealm(u *url.URL) bool {
	if r.base.Scheme == "http" {
		return true
	}
	host, port := hostPort(u)
	rule, ok := r.hosts.target(host, port)
	return ok && rule.private
}

// exchange asks the token server. Its redirects are not followed: nothing but the realm gets the credentials.
func (r *registry) exchange(ctx context.Context, realm *url.URL, service, scope string) (token, error) {
	s, err := r.credentials(ctx)
	if err != nil {
		return token{}, err
	}
	if s.bearer != "" {
		return token{value: s.bearer, expires: time.Now().Add(minTokenLife)}, nil
	}
	req, err := tokenRequest(ctx, realm, service, scope, s)
	if err != nil {
		return token{}, r.fault(http.StatusBadGateway, reasonRefusedRealm, "making the token request: %w", err)
	}
	resp, err := r.roundTrip(req, "token")
	if err != nil {
		return token{}, err
	}
	defer resp.Body.Close()
	if err := r.checkTokenStatus(resp, s); err != nil {
		drain(resp.Body)
		return token{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody+1))
	if err != nil {
		return token{}, r.networkFault(ctx, "reading a token", err)
	}
	t, err := parseToken(body, time.Now())
	if err != nil {
		r.count.refused(r.name, reasonInvalidContent)
		return token{}, r.invalid("the token server's answer: %w", err)
	}
	return t, nil
}

// tokenRequest asks for exactly one scope, by the token specification, or by OAuth2 where the secret is an identity
// token.
func tokenRequest(ctx context.Context, realm *url.URL, service, scope string, s secret) (*http.Request, error) {
	u := *realm
	query := u.Query()
	if s.identity != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {s.identity},
			"service": {service}, "scope": {scope}, "client_id": {oauthClientID},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	query.Set("scope", scope)
	if service != "" {
		query.Set("service", service)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && s.username != "" {
		req.Header.Set("Authorization", basicHeader(s))
	}
	return req, err
}

// checkTokenStatus maps the status of a token server.
func (r *registry) checkTokenStatus(resp *http.Response, s secret) error {
	var e *Error
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return nil
	case isRedirect(status):
		r.count.refused(r.name, reasonRefusedRedirect)
		return r.fault(http.StatusBadGateway, reasonRefusedRedirect, "its token server redirects, which is not followed")
	case status == http.StatusUnauthorized && !s.anonymous(), status == http.StatusBadRequest && s.identity != "":
		r.rejectCredentials(s)
		e = r.fault(http.StatusServiceUnavailable, reasonAuth, "its token server refuses the configured credentials")
		e.Retry = lockoutPause
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e = r.fault(http.StatusForbidden, reasonForbidden, "its token server grants no pull of this repository")
	case status == http.StatusTooManyRequests:
		e = r.limited(resp)
	case status >= 500:
		e = r.fault(http.StatusServiceUnavailable, reasonUnavailable, "its token server answers %d", status)
		e.again, e.Retry = true, retryAfter(resp.Header, time.Now(), 0)
	default:
		e = r.fault(http.StatusBadGateway, reasonInvalidContent, "its token server answers %d", status)
	}
	return e
}

// parseToken reads the answer of a token server. The life of a token is taken from expires_in alone, so that a
// clock that disagrees with issued_at does not matter.
func parseToken(body []byte, now time.Time) (token, error) {
	if len(body) > maxTokenBody {
		return token{}, fmt.Errorf("larger than %d bytes", maxTokenBody)
	}
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return token{}, errors.New("not the JSON of a token") // the decoder's error may quote the token
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	switch {
	case value == "":
		return token{}, errors.New("holds no token")
	case len(value) > maxToken:
		return token{}, fmt.Errorf("the token is longer than %d bytes", maxToken)
	case strings.ContainsFunc(value, notTokenChar):
		return token{}, errors.New("the token holds characters that RFC 6750 does not allow")
	}
	life := minTokenLife
	if answer.ExpiresIn > minTokenLife.Seconds() {
		life = time.Duration(min(answer.ExpiresIn, maxTokenLife.Seconds()) * float64(time.Second))
	}
	return token{value: value, expires: now.Add(life - life/tokenLifeUsed)}, nil
}

// notTokenChar reports what is outside b64token (RFC 6750, section 2.1).
func notTokenChar(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/=", c)
}
