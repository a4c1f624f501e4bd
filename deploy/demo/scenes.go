package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A narrator prints the story.
type narrator struct{ out io.Writer }

func (n narrator) step(title string) { fmt.Fprintf(n.out, "\n== %s\n", title) }

func (n narrator) line(format string, args ...any) { fmt.Fprintf(n.out, "   "+format+"\n", args...) }

// pull pulls an image through Winnow and verifies every byte of it, as a client does.
func pull(ctx context.Context, p *program, ref string) (digest string, layers int, err error) {
	from, err := name.ParseReference(p.registry+"/"+upstreamName+"/"+ref, name.Insecure)
	if err != nil {
		return "", 0, err
	}
	image, err := remote.Image(from, remote.WithContext(ctx))
	if err != nil {
		return "", 0, err
	}
	hash, err := image.Digest()
	if err != nil {
		return "", 0, err
	}
	if _, err := image.RawConfigFile(); err != nil {
		return "", 0, err
	}
	all, err := image.Layers()
	if err != nil {
		return "", 0, err
	}
	for _, layer := range all {
		if err := download(layer); err != nil {
			return "", 0, err
		}
	}
	return hash.String(), len(all), nil
}

// download reads a layer to its end; bytes that do not hash to its digest are an error there.
func download(layer v1.Layer) error {
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(io.Discard, content)
	return err
}

func admitted(ctx context.Context, say narrator, u *upstream, p *program) error {
	say.step("An image that complies: the client notices nothing")
	for _, when := range []string{"first", "again"} {
		before := u.asked.Load()
		digest, layers, err := pull(ctx, p, goodRef)
		if err != nil {
			return fmt.Errorf("pulling %s: %w", goodRef, err)
		}
		say.line("$ docker pull %s/%s/%s", p.registry, upstreamName, goodRef)
		say.line("  %s, %d layer, every byte verified", digest, layers)
		say.line("  %s: the registry behind was asked %d times", when, u.asked.Load()-before)
	}
	return nil
}

func refused(ctx context.Context, say narrator, p *program) error {
	say.step("An image that does not: the client says why, in its own error message")
	_, _, err := pull(ctx, p, badRef)
	var answer *transport.Error
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusForbidden || len(answer.Errors) != 1 {
		return fmt.Errorf("pulling %s was not refused: %w", badRef, err)
	}
	message := answer.Errors[0].Message
	say.line("$ docker pull %s/%s/%s", p.registry, upstreamName, badRef)
	say.line("  denied: %s", message)

	_, page, found := strings.Cut(message, "why: ")
	if !found {
		return fmt.Errorf("the refusal names no page: %s", message)
	}
	say.step("The page behind that address")
	return explain(ctx, say, page)
}

// explain prints what the page says; a browser gets it as HTML.
func explain(ctx context.Context, say narrator, page string) error {
	var verdict struct {
		Digest     string
		Violations []struct {
			Rule, Action, Message, Advice string
			Evidence, Controls            []string
		}
	}
	body, err := get(ctx, page)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &verdict); err != nil {
		return fmt.Errorf("reading %s: %w", page, err)
	}
	say.line("$ open %s", page)
	say.line("  %s", verdict.Digest)
	for _, v := range verdict.Violations {
		say.line("  %s (%s): %s", v.Rule, v.Action, v.Message)
		for _, line := range v.Evidence {
			say.line("    found       %s", line)
		}
		say.line("    what to do  %s", v.Advice)
		say.line("    controls    %s", strings.Join(v.Controls, ", "))
	}
	return nil
}

func get(ctx context.Context, page string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", page, response.Status)
	}
	return body, err
}

// recorded shows the audit log and lets the program verify it.
func recorded(ctx context.Context, say narrator, p *program) error {
	say.step("What was recorded, before the first byte was served")
	records, err := p.command(ctx, "audit", "query", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	for line := range strings.Lines(string(records)) {
		var r struct {
			Seq                                      int
			Event, Method, Kind, Requested, Decision string
			Rules                                    []string
			Status                                   int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return fmt.Errorf("reading the audit log: %w: %s", err, line)
		}
		if r.Event == "pull.decided" {
			rules := strings.Join(r.Rules, ",")
			say.line("%3d  %-5s %-12s %-8s %-4s %s", r.Seq, r.Decision, rules, r.Kind, r.Method, short(r.Requested))
		}
	}
	out, err := p.command(ctx, "audit", "verify").CombinedOutput()
	if err != nil {
		return fmt.Errorf("verifying the audit log: %w: %s", err, out)
	}
	say.line("$ winnow audit verify")
	for line := range strings.Lines(string(out)) {
		say.line("  %s", strings.TrimRight(line, "\n"))
	}
	return nil
}

// short cuts a digest to what tells it from others.
func short(reference string) string {
	if before, digest, found := strings.Cut(reference, "@sha256:"); found && len(digest) > 12 {
		return before + "@sha256:" + digest[:12] + "…"
	}
	return reference
}
