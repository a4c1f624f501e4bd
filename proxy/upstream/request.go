package upstream

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"
)

const (
	maxRedirects = 5                      // hops from a registry to its storage
	maxLocation  = 16 << 10               // bytes of a Location
	maxDrain     = 64 << 10               // bytes of an unwanted body read so that the connection can be used again
	retryPause   = 150 * time.Millisecond // the first; the next is three times as long
	retryBudget  = 4 * time.Second        // after which no further try starts: a client waits 5 s at most
)

// A query is one request to a registry's API.
type query struct {
	kind       string // manifest, blob, tags, referrers: for metrics and messages
	method     string
	repository string
	path       string // below the repository, e.g. manifests/latest
	values     url.Values
	header     http.Header
	places     chan struct{} // bounds how many run at once
	retries    int
}

// do sends a query, tries again after passing faults, and returns a response with status 200 or 206 whose body is
// watched for stalls.
func (r *registry) do(ctx context.Context, q query) (*http.Response, error) {
	if !isRepository(q.repository) {
		return nil, r.fault(http.StatusBadRequest, reasonInvalidName, "not a repository: %q", printable(q.repository))
	}
	select {
	case q.places <- struct{}{}:
	case <-ctx.Done():
		return nil, r.networkFault(ctx, "waiting for a place", ctx.Err())
	}
	started := time.Now()
	for try, pause := 0, retryPause; ; try, pause = try+1, 3*pause {
		resp, err := r.attempt(ctx, q)
		if err == nil {
			return resp, nil
		}
		e, ok := errors.AsType[*Error](err)
		wait := jitter(pause)
		if !ok || !e.again || try >= q.retries || time.Since(started)+wait > retryBudget || sleep(ctx, wait) != nil {
			<-q.places
			return nil, err
		}
	}
}

// attempt sends a query once: with authentication, which may take a second request, and redirects.
func (r *registry) attempt(ctx context.Context, q query) (_ *http.Response, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			cancel(nil)
		}
	}()
	// Header timeouts bound each answer; this bounds them together with the bodies that are read on the way.
	slow := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "no answer within %v", r.opts.CallTimeout)
	limit := time.AfterFunc(r.opts.CallTimeout, func() { cancel(slow) })
	defer limit.Stop()
	header, err := r.authorization(ctx, q.repository)
	if err != nil {
		return nil, err
	}
	resp, err := r.send(ctx, q, r.locate(q), header)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		next, err := r.reauthorize(ctx, resp, q.repository, header)
		drain(resp.Body)
		if err != nil {
			return nil, err
		}
		if resp, err = r.send(ctx, q, r.locate(q), next); err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusUnauthorized {
			r.basicRefused(ctx, next)
		}
	}
	resp, moved, err := r.follow(ctx, q, resp)
	if err != nil {
		return nil, err
	}
	if err := r.check(resp, moved); err != nil {
		drain(resp.Body)
		return nil, err
	}
	r.auth.accepted()
	resp.Body = newBody(ctx, cancel, r, resp.Body, q.places)
	return resp, nil
}

func (r *registry) locate(q query) *url.URL {
	u := *r.base
	u.Path = "/v2/" + q.repository + "/" + q.path
	u.RawQuery = q.values.Encode()
	return &u
}

func (r *registry) send(ctx context.Context, q query, u *url.URL, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), nil)
	if err != nil {
		return nil, r.fault(http.StatusBadRequest, reasonInvalidName, "making the request: %w", err)
	}
	for key, values := range q.header {
		req.Header[key] = values
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return r.roundTrip(req, q.kind)
}

// follow follows redirects, without credentials and to allowed hosts only.
func (r *registry) follow(ctx context.Context, q query, resp *http.Response) (_ *http.Response, moved bool, err error) {
	for hops := 0; isRedirect(resp.StatusCode); hops++ {
		drain(resp.Body)
		u, err := r.location(resp, hops)
		if err != nil {
			r.count.refused(r.name, reasonRefusedRedirect)
			return nil, false, r.fault(http.StatusBadGateway, reasonRefusedRedirect, "following its redirect: %w", err)
		}
		if resp, err = r.send(ctx, q, u, ""); err != nil {
			return nil, false, err
		}
		moved = true
	}
	return resp, moved, nil
}

// location returns where a response redirects to. Its error names no more than a host: the rest may be a signature.
func (r *registry) location(resp *http.Response, hops int) (*url.URL, error) {
	text := resp.Header.Get("Location")
	if hops >= maxRedirects || text == "" || len(text) > maxLocation {
		return nil, errors.New("too many of them, or one without a usable Location")
	}
	from := resp.Request.URL
	u, err := from.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("its Location is no URL")
	case u.User != nil, u.Opaque != "":
		return nil, errors.New("its Location holds credentials or no path")
	case u.Scheme != "https" && (u.Scheme != "http" || from.Scheme != "http"):
		return nil, errors.New("from " + from.Scheme + " to " + printable(u.Scheme))
	case !r.hosts.allows(u, useBlob):
		return nil, errors.New(printable(u.Host) + " is not one of its blobHosts")
	}
	u.Fragment = ""
	return u, nil
}

// roundTrip sends one request to one host, unless the upstream asked for quiet or the host's circuit is open. The
// path to the wire for everything this package sends.
func (r *registry) roundTrip(req *http.Request, kind string) (*http.Response, error) {
	if wait := r.health.hushed(); wait > 0 {
		e := r.fault(http.StatusTooManyRequests, reasonRateLimited, "it limits our rate")
		e.Retry = wait
		return nil, e
	}
	host, port := hostPort(req.URL)
	circuit := r.health.breaker(host + ":" + port)
	if wait, ok := circuit.allow(); !ok {
		e := r.fault(http.StatusServiceUnavailable, reasonUnavailable, "%s keeps failing; not asking it for the moment", printable(host))
		e.Retry = wait
		return nil, e
	}
	req.Header.Set("User-Agent", r.opts.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := r.transport.RoundTrip(req)
	what, status := outcomeOK, 0
	switch {
	case err != nil && (req.Context().Err() != nil || isRefusal(err)):
		what = outcomeUnknown
	case err != nil && isTimeout(err):
		what = outcomeHang
	case err != nil:
		what = outcomeFault
	case resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
		what = outcomeFault
	}
	if resp != nil {
		status = resp.StatusCode
	}
	r.count.answered(r.name, kind, status)
	r.note(host+":"+port, circuit, what)
	if err != nil {
		return nil, r.networkFault(req.Context(), "asking "+printable(host)+" for a "+kind, err)
	}
	return resp, nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// note reports an outcome to the circuit of a host, and says when that turns it.
func (r *registry) note(host string, circuit *breaker, what outcome) {
	open, turned := circuit.report(what)
	if !turned {
		return
	}
	own, port := hostPort(r.base)
	if host == own+":"+port {
		r.count.circuit(r.name, open)
	}
	text := "upstream answers again"
	if open {
		text = "upstream keeps failing: asking it less often"
	}
	r.opts.Log.Warn(text, zap.String("upstream", r.name), zap.String("host", host))
}

// drain reads the rest of a short body, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}

// jitter spreads a pause over a half to one and a half of it, so that callers do not return in step.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
