package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// line encodes r alone, as the first record of all.
func line(r *Record) []byte {
	c := newChain()
	return c.append(nil, appendBody(nil, r))
}

// expected is what a reader must get back: r with the documented changes, made in the plainest way.
func expected(r Record) Record {
	word := func(s string) string { return clip(s, maxWord) }
	list := func(in []string) []string {
		out := []string{}
		for i, s := range in {
			if i == maxList-1 && len(in) > maxList {
				return append(out, fmt.Sprintf("+%d more", len(in)-i))
			}
			out = append(out, word(s))
		}
		return out
	}
	r.Seq, r.Prev, r.Time = 1, Genesis, r.Time.UTC().Truncate(time.Microsecond)
	r.Event, r.ID, r.Method, r.Kind = word(r.Event), word(r.ID), word(r.Method), word(r.Kind)
	r.Client = Client{word(r.Client.IP), word(r.Client.User), word(r.Client.Agent)}
	r.Digest = Digest{word(r.Digest.Resolved), word(r.Digest.Served)}
	r.Decision, r.Policy, r.Epoch = word(r.Decision), word(r.Policy), word(r.Epoch)
	r.Rules, r.Exemptions = list(r.Rules), list(r.Exemptions)
	r.Requested, r.Reason = clip(r.Requested, maxText), clip(r.Reason, maxText)
	return r
}

// clip cuts s to at most limit bytes at the start of a character, and replaces what is no UTF-8 by U+FFFD.
func clip(s string, limit int) string {
	end, ellipsis := len(s), ""
	if end > limit {
		end, ellipsis = limit, "…"
		for back := 1; back < utf8.UTFMax; back++ {
			if i := limit - back; utf8.RuneStart(s[i]) {
				if !utf8.FullRuneInString(s[i:limit]) {
					end = i
				}
				break
			}
		}
	}
	return string([]rune(s[:end])) + ellipsis
}

func checkLine(t interface{ Errorf(string, ...any) }, r Record) {
	b := line(&r)
	if bytes.IndexByte(b, '\n') != len(b)-1 || !utf8.Valid(b) || len(b) > maxLine {
		t.Errorf("not one line of UTF-8 within the bound: %q", b)
	}
	for _, c := range string(b[:len(b)-1]) {
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%U stands unescaped in %q", c, b)
		}
	}
	var got Record
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Errorf("encoding/json cannot read it: %v: %q", err, b)
	}
	if diff := cmp.Diff(expected(r), got); diff != "" {
		t.Errorf("read back (-want +got):\n%s\n%q", diff, b)
	}
}

func TestEveryRecordIsReadBackByEncodingJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 3000, 3000), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 1500).Draw(t, "bytes"))
	}))
	list := rapid.SliceOfN(text, 0, maxList+10)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) string { return text.Draw(t, name) }
		checkLine(t, Record{
			Time:  time.Unix(rapid.Int64Range(-6e10, 2.5e11).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			Event: draw("event"), ID: draw("id"), Client: Client{draw("ip"), draw("user"), draw("agent")},
			Requested: draw("requested"), Method: draw("method"), Kind: draw("kind"),
			Digest: Digest{draw("resolved"), draw("served")}, Decision: draw("decision"),
			Rules: list.Draw(t, "rules"), Exemptions: list.Draw(t, "exemptions"), Policy: draw("policy"), Epoch: draw("epoch"),
			Cached: rapid.Bool().Draw(t, "cached"), Stale: rapid.Bool().Draw(t, "stale"), Status: rapid.Int().Draw(t, "status"),
			Bytes: rapid.Int64().Draw(t, "bytes"), Millis: rapid.Int64().Draw(t, "millis"), Reason: draw("reason"),
		})
	})
}

// TestARecordCannotBeForgedFromWithinAField tries what a client can put into a path, a header or a user name.
func TestARecordCannotBeForgedFromWithinAField(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"newline":             "a\n{\"seq\":2}",
		"carriage return":     "a\rb",
		"end of the string":   `a","decision":"admit`,
		"backslash":           `a\`,
		"NUL and escape":      "\x00\x1b[2J",
		"delete":              "\x7f",
		"C1 control":          "\u0085\u009b31m",
		"line separators":     "\u2028\u2029",
		"right to left":       "\u202egnp.exe\u2066\u2069\u200f",
		"zero width":          "a\u200bb\ufeff",
		"tags above the BMP":  "\U000e0041",
		"not UTF-8":           "\xff\xfe\xc0\xaf\xed\xa0\x80",
		"cut UTF-8":           "\xe2\x80",
		"replacement":         "\ufffd",
		"wide characters":     "日本語 🙂",
		"cut in a character":  strings.Repeat("x", maxWord-1) + "語",
		"just long enough":    strings.Repeat("x", maxWord),
		"one byte too long":   strings.Repeat("x", maxWord+1),
		"long and not UTF-8":  strings.Repeat("\x80", 5000),
		"long and all escape": strings.Repeat("\x01", 5000),
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			many := make([]string, maxList+1)
			for i := range many {
				many[i] = s
			}
			checkLine(t, Record{
				Event: s, ID: s, Client: Client{s, s, s}, Requested: s, Method: s, Kind: s, Digest: Digest{s, s},
				Decision: s, Rules: many, Exemptions: many[:maxList], Policy: s, Epoch: s, Reason: s,
			})
		})
	}
}

func TestAYearThatRFC3339CannotSayIsClamped(t *testing.T) {
	t.Parallel()
	for year, want := range map[int]string{-5: "0000-01-01T00:00:00.000000Z", 12000: "9999-12-31T23:59:59.000000Z"} {
		if got := string(appendTime(nil, time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC))); got != want {
			t.Errorf("year %d: %s, want %s", year, got, want)
		}
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	r := pull("an-id", DecisionAdmit)
	r.Time = time.Now()
	body, out, c := make([]byte, 0, 4096), make([]byte, 0, 4096), newChain()
	if n := testing.AllocsPerRun(100, func() {
		body = appendBody(body[:0], r)
		out = c.append(out[:0], body)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzAuditRecord(f *testing.F) {
	f.Add("docker.io/library/nginx:1.27", "docker/29.0", "no-root", int64(1_700_000_000), 200)
	f.Add("a\n{\"seq\":2}", "\u202e\xff", "\\\"", int64(-1), -1)
	f.Fuzz(func(t *testing.T, requested, agent, rule string, seconds int64, status int) {
		r := Record{
			Time: time.Unix(seconds%6e10, 0), Event: EventDecided, Requested: requested,
			Client: Client{Agent: agent, User: requested}, Rules: []string{rule, agent}, Status: status, Reason: rule,
		}
		checkLine(t, r)
		event, _, ok := eventAndID(line(&r))
		if !ok || string(event) != EventDecided {
			t.Errorf("the event reads %q, %v", event, ok)
		}
	})
}
