package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A State is how a component does.
type State string

// The states, from good to bad. Only StateDown makes the process not ready.
const (
	StateOK       State = "ok"
	StateDegraded State = "degraded" // pulls are answered, with something missing or slower
	StateDown     State = "down"     // pulls cannot be answered
)

// Health is what a component says of itself.
type Health struct {
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"` // for people; no secrets
}

// A Component is a part of the process that readiness depends on.
type Component struct {
	Name string
	// Check must answer from what is known already, or within checkTimeout; it may be called at any rate.
	Check func(context.Context) Health
	// Optional says that not answering in time is StateDegraded.
	Optional bool
}

// Required returns a component without which no pull can be answered: an error is StateDown.
func Required(name string, check func() error) Component {
	return Component{Name: name, Check: checkError(check, StateDown)}
}

// Optional returns a component whose loss pulls survive: an error is StateDegraded.
func Optional(name string, check func() error) Component {
	return Component{Name: name, Check: checkError(check, StateDegraded), Optional: true}
}

func checkError(check func() error, bad State) func(context.Context) Health {
	return func(context.Context) Health {
		if err := check(); err != nil {
			return Health{State: bad, Detail: err.Error()}
		}
		return Health{State: StateOK}
	}
}

// checkTimeout is less than the second that a Kubernetes probe waits by default.
const checkTimeout = 800 * time.Millisecond

type readiness struct {
	version    string
	components []*probe
}

func newReadiness(components []Component, version string) *readiness {
	r := &readiness{version: version}
	for _, c := range components {
		r.components = append(r.components, &probe{Component: c})
	}
	return r
}

// ServeHTTP answers 200 or 503 and says why:
// {"ready":true,"state":"degraded","version":"…","components":{"cache":{"state":"degraded","detail":"…"}}}.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), checkTimeout)
	defer cancel()
	found := make([]Health, len(r.components))
	var wg sync.WaitGroup
	for i, c := range r.components {
		wg.Go(func() { found[i] = c.ask(ctx) })
	}
	wg.Wait()
	answer := struct {
		Ready      bool              `json:"ready"`
		State      State             `json:"state"`
		Version    string            `json:"version,omitempty"`
		Components map[string]Health `json:"components"`
	}{Ready: true, State: StateOK, Version: r.version, Components: map[string]Health{}}
	for i, c := range r.components {
		answer.Components[c.Name] = found[i]
		answer.State = worse(answer.State, found[i].State)
	}
	answer.Ready = answer.State != StateDown
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(answer) // the client left; there is nobody to tell
}

// worse returns the worse of two states. One that is not known is the worst.
func worse(a, b State) State {
	rank := func(s State) int {
		switch s {
		case StateOK:
			return 0
		case StateDegraded:
			return 1
		}
		return 2
	}
	switch max(rank(a), rank(b)) {
	case 0:
		return StateOK
	case 1:
		return StateDegraded
	}
	return StateDown
}

// A probe asks one component, and never twice at a time: one that hangs must not gather goroutines.
type probe struct {
	Component
	mu      sync.Mutex
	current *answer // nil while nobody asks
}

type answer struct {
	done   chan struct{}
	health Health // set before done is closed
}

func (p *probe) ask(ctx context.Context) Health {
	a := p.join(context.WithoutCancel(ctx))
	select {
	case <-a.done:
		return a.health
	case <-ctx.Done():
		h := Health{State: StateDown, Detail: fmt.Sprintf("no answer within %s", checkTimeout)}
		if p.Optional {
			h.State = StateDegraded
		}
		return h
	}
}

// join starts a check, or returns the one that is under way.
func (p *probe) join(ctx context.Context) *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		return p.current
	}
	a := &answer{done: make(chan struct{})}
	p.current = a
	go func() {
		a.health = p.check(ctx)
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		close(a.done)
	}()
	return a
}

// check turns a panic of a component into an answer.
func (p *probe) check(ctx context.Context) (h Health) {
	defer func() {
		if v := recover(); v != nil {
			h = Health{State: StateDown, Detail: fmt.Sprintf("the check panicked: %v", v)}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return p.Check(ctx)
}
