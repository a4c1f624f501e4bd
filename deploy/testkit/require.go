package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Root is a name for Require: the scenario mounts file systems or starts containers.
const Root = "root"

// Require ends the test as skipped when one of the named programs (or Root) is missing, and says so on a line of its
// own. Under CI=true it fails instead: a scenario that silently does not run there proves nothing.
func Require(t testing.TB, names ...string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if !has(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		Skip(t, "needs "+strings.Join(missing, ", "))
	}
}

// Skip ends the test as skipped with a line that tells why, or fails it under CI=true.
func Skip(t testing.TB, why string) {
	t.Helper()
	line := "SKIPPED SCENARIO: " + t.Name() + ": " + why
	if os.Getenv("CI") == "true" {
		t.Fatal(line + " (not allowed under CI=true)")
	}
	t.Skip(line)
}

func has(name string) bool {
	if name == Root {
		return os.Geteuid() == 0
	}
	_, err := LookPath(name)
	return err == nil
}

// LookPath finds a program on PATH or in the folders for administrators, which an ordinary user's PATH leaves out.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		candidate := filepath.Join(dir, name)
		if info, statErr := os.Stat(candidate); statErr == nil && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", err
}
