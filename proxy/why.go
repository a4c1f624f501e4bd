package proxy

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/winnow-registry/winnow/proxy/admission"
)

//go:embed why.html
var whyHTML string

var whyPage = template.Must(template.New("why").Parse(whyHTML))

// explanation is what the page shows. It is the verdict without what only Winnow needs, and holds nothing secret:
// evidence is masked where it is made.
type explanation struct {
	ID         string          `json:"id"`
	Image      string          `json:"image"`
	Digest     string          `json:"digest"`
	Decision   string          `json:"decision"`
	Reason     string          `json:"reason,omitempty"`
	Violations []violationPage `json:"violations"`
	SlimDigest string          `json:"slimDigest,omitempty"`
	Policies   []string        `json:"policies"`
	Revision   string          `json:"policy"`
	Epoch      string          `json:"epoch"`
	Decided    time.Time       `json:"decided"`
}

type violationPage struct {
	Rule      string   `json:"rule"`
	Policy    string   `json:"policy"`
	Action    string   `json:"action"`
	Severity  string   `json:"severity"`
	Message   string   `json:"message"`
	Evidence  []string `json:"evidence,omitempty"`
	Controls  []string `json:"controls,omitempty"`
	Advice    string   `json:"advice,omitempty"`
	Exemption string   `json:"exemption,omitempty"`
	AuditOnly bool     `json:"auditOnly,omitempty"`
}

// why answers /why/<id>: the refusal behind an id, as a page for people or, by Accept, as JSON.
func (h *Handler) why(w http.ResponseWriter, r *http.Request) {
	patient(w)
	head := w.Header()
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	id := strings.TrimPrefix(r.URL.Path, "/why/")
	if !isHex(id) || len(id) < 8 || len(id) > 64 {
		http.Error(w, "no refusal of that id", http.StatusNotFound)
		return
	}
	v, ok := h.Gate.Explain(r.Context(), id)
	if !ok {
		http.Error(w, "no refusal of that id is remembered; pull the image again to see why it is refused now", http.StatusNotFound)
		return
	}
	page := explain(id, v)
	if strings.Contains(r.Header.Get("Accept"), "json") {
		head.Set("Content-Type", "application/json; charset=utf-8")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(page) // the client left
		return
	}
	head.Set("Content-Type", "text/html; charset=utf-8")
	_ = whyPage.Execute(w, page) // the client left
}

func explain(id string, v *admission.Verdict) explanation {
	page := explanation{
		ID: id, Image: clean(v.Reference), Digest: v.Digest, Decision: string(v.Decision), Reason: clean(v.Reason),
		SlimDigest: v.SlimDigest, Policies: v.Policies, Revision: v.Revision, Epoch: v.Epoch, Decided: v.Decided.UTC(),
		Violations: []violationPage{},
	}
	for _, x := range v.Violations {
		p := violationPage{
			Rule: clean(x.Rule), Policy: clean(x.Policy), Action: string(x.Action), Severity: string(x.Severity),
			Message: clean(x.Message), Controls: x.Controls, Advice: clean(x.Advice), Exemption: clean(x.Exemption),
			AuditOnly: x.AuditOnly,
		}
		for _, e := range x.Evidence {
			p.Evidence = append(p.Evidence, clean(e))
		}
		page.Violations = append(page.Violations, p)
	}
	return page
}

// clean makes text of an image fit to be shown: what images say may hold control and bidirectional characters.
func clean(s string) string { return oneLine(s, 4096) }
