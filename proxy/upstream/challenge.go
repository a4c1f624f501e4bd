package upstream

import "strings"

const (
	maxChallenges     = 8  // a server offers one or two
	maxChallengeParam = 16 // realm, service, scope, error and a few of its own
)

// A challenge is one scheme of a WWW-Authenticate header (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string            // lower case
	params map[string]string // keys in lower case; of a repeated key the first
}

// parseChallenges reads WWW-Authenticate headers: several headers, several challenges in one, quoted commas,
// token68 credentials. What cannot be read ends the header it is in; the challenges before it stand.
func parseChallenges(headers []string) []challenge {
	var list []challenge
	for _, header := range headers {
		p := &challengeParser{rest: header}
		for len(list) < maxChallenges {
			c, ok := p.challenge()
			if !ok {
				break
			}
			list = append(list, c)
		}
	}
	return list
}

type challengeParser struct{ rest string }

// challenge reads scheme and parameters up to the next scheme.
func (p *challengeParser) challenge() (challenge, bool) {
	p.skip(" \t,")
	scheme := p.token()
	if scheme == "" {
		return challenge{}, false
	}
	c := challenge{scheme: strings.ToLower(scheme), params: make(map[string]string)}
	if p.rest != "" && !strings.ContainsRune(" \t,", rune(p.rest[0])) {
		return challenge{}, false
	}
	p.skipToken68()
	for {
		p.skip(" \t,")
		before := p.rest
		key := strings.ToLower(p.token())
		p.skip(" \t")
		if key == "" || !strings.HasPrefix(p.rest, "=") {
			p.rest = before // the next scheme, or the end
			return c, true
		}
		p.rest = p.rest[1:]
		p.skip(" \t")
		value, ok := p.value()
		if !ok {
			p.rest = ""
			return c, false
		}
		if _, seen := c.params[key]; !seen && len(c.params) < maxChallengeParam {
			c.params[key] = value
		}
	}
}

// skipToken68 steps over the credentials that a scheme such as Negotiate has in place of parameters.
func (p *challengeParser) skipToken68() {
	rest := strings.TrimLeft(p.rest, " \t")
	after := strings.TrimLeft(strings.TrimLeftFunc(rest, isToken68), "=")
	if next := strings.TrimLeft(after, " \t"); next == "" || (next[0] == ',' || len(next) < len(after)) && next[0] != '=' {
		p.rest = after
	}
}

func isToken68(c rune) bool { return c < 0x80 && (c == '/' || isTokenChar(byte(c))) }

func (p *challengeParser) skip(set string) { p.rest = strings.TrimLeft(p.rest, set) }

func (p *challengeParser) token() string {
	end := 0
	for end < len(p.rest) && isTokenChar(p.rest[end]) {
		end++
	}
	token := p.rest[:end]
	p.rest = p.rest[end:]
	return token
}

// value reads a token or a quoted string.
func (p *challengeParser) value() (string, bool) {
	if !strings.HasPrefix(p.rest, `"`) {
		// Some servers leave values such as URLs unquoted: take what reaches to the next separator.
		end := strings.IndexAny(p.rest, " \t,")
		if end < 0 {
			end = len(p.rest)
		}
		value := p.rest[:end]
		p.rest = p.rest[end:]
		return value, !strings.Contains(value, `"`)
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		case c < ' ' && c != '\t', c == 0x7f:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

func isTokenChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
