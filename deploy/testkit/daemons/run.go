package daemons

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// commandLimit is how long one command of a client may take: a cold pull of a Debian image on a busy machine takes a
// few seconds, so a minute and a half is a hang.
const commandLimit = 90 * time.Second

// readyLimit is how long an engine may take to start.
const readyLimit = 30 * time.Second

// A client is a command line with the environment it needs.
type client struct {
	program string
	flags   []string
	env     []string
}

// Run runs the client with args and returns everything it printed, and its error.
func (c client) Run(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return c.run(t.Context(), args...)
}

// Must is Run for what has to work.
func (c client) Must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.Run(t, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", c.program, args, err, out)
	}
	return out
}

func lookPath(t testing.TB, name string) string {
	t.Helper()
	path, err := testkit.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// clean is Run for the end of a test, when its own context is over.
func (c client) clean(args ...string) (string, error) { return c.run(context.Background(), args...) }

func (c client) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, append(slices.Clone(c.flags), args...)...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.WaitDelay = time.Second // a child that keeps the output open must not hold us
	return testkit.Output(cmd)
}
