package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	maxTagsBody = 16 << 20 // bytes of one page of tags: a registry that does not page may have a hundred thousand
	maxTagNames = 100_000  // names in it
	maxTagsPage = 10_000   // names asked for at once

	maxLink      = 4 << 10 // bytes of a Link header
	maxLinkQuery = 8       // parameters of its query: n, last, and a registry's own
)

// Tags returns at most n tags of a repository that come after last, in the upstream's order, and whether more
// follow. n <= 0 leaves the number to the upstream.
func (c *Client) Tags(ctx context.Context, upstream, repository string, n int, last string) (names []string, more bool, err error) {
	r, ctx, cancel, err := c.call(ctx, upstream)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	values := url.Values{}
	if n > 0 {
		n = min(n, maxTagsPage)
		values.Set("n", strconv.Itoa(n))
	}
	if last != "" {
		if !isTag(last) {
			return nil, false, r.fault(http.StatusBadRequest, reasonInvalidName, "not a tag: %q", printable(last))
		}
		values.Set("last", last)
	}
	resp, err := r.do(ctx, query{
		kind: "tags", method: http.MethodGet, repository: repository, path: "tags/list", values: values,
		header: http.Header{"Accept": {"application/json"}}, places: r.requests, retries: r.opts.Retries,
	})
	if err != nil {
		return nil, false, err
	}
	raw, err := r.readAll(ctx, resp, maxTagsBody)
	if err != nil {
		return nil, false, err
	}
	names, err = r.parseTags(raw)
	if err != nil {
		return nil, false, err
	}
	_, more = nextPage(resp.Header.Values("Link"), resp.Request.URL)
	names, more = page(names, more, n, last)
	return names, more, nil
}

// parseTags reads a page of tags. One name that is no tag makes the page invalid: it would reach terminals.
func (r *registry) parseTags(raw []byte) ([]string, error) {
	var answer struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, r.invalid("its list of tags is not JSON as it should be: %w", err)
	}
	if len(answer.Tags) > maxTagNames {
		return nil, r.tooLarge(maxTagNames)
	}
	for _, name := range answer.Tags {
		if !isTag(name) {
			return nil, r.invalid("its list of tags holds %q, which is none", printable(name))
		}
	}
	return answer.Tags, nil
}

// page cuts a list to what was asked for: some registries ignore n, last or both.
func page(names []string, more bool, n int, last string) ([]string, bool) {
	if i := slices.Index(names, last); last != "" && i >= 0 {
		names = names[i+1:]
	}
	if n > 0 && len(names) > n {
		return names[:n], true
	}
	return names, more && len(names) > 0
}

// nextPage returns the query of the next page that Link headers (RFC 8288) name. Only the query is taken, and only
// from a link to the very host and path that were asked: a Link is data, not a target.
func nextPage(headers []string, asked *url.URL) (url.Values, bool) {
	for _, header := range headers {
		for len(header) <= maxLink {
			target, params, rest, ok := cutLink(header)
			if !ok {
				break
			}
			if values, ok := pageQuery(target, asked); ok && isNext(params) {
				return values, true
			}
			header = rest
		}
	}
	return nil, false
}

// cutLink splits a Link header after its first link.
func cutLink(header string) (target, params, rest string, ok bool) {
	header = strings.TrimLeft(header, " \t,")
	if !strings.HasPrefix(header, "<") {
		return "", "", "", false
	}
	target, after, ok := strings.Cut(header[1:], ">")
	if !ok {
		return "", "", "", false
	}
	quoted := false
	for i, c := range after {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return target, after[:i], after[i+1:], true
		}
	}
	return target, after, "", true
}

func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(key), "rel") {
			return strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "next")
		}
	}
	return false
}

func pageQuery(target string, asked *url.URL) (url.Values, bool) {
	u, err := asked.Parse(target)
	if err != nil || u.User != nil || u.Scheme != asked.Scheme || u.Host != asked.Host || u.Path != asked.Path {
		return nil, false
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(values) == 0 || len(values) > maxLinkQuery {
		return nil, false
	}
	return values, true
}
