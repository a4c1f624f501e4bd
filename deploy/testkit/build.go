package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Build compiles a package of this module into dir and returns the program. env is added to the environment, for
// example GOARCH=arm64; programs are static, so that they run in an image that holds nothing else.
func Build(t testing.TB, dir, pkg string, env ...string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, pkg)
	cmd.Dir = ModuleRoot(t)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := Output(cmd); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return path
}

// Install returns a program of another module at a given version, built once and kept in the cache folder. Where the
// module cannot be had, the test is skipped as Require does.
func Install(t testing.TB, pkg, version string) string {
	t.Helper()
	name := filepath.Base(pkg)
	return Kept(t, name+"-"+version, func(path string) error {
		dir, err := os.MkdirTemp(filepath.Dir(path), "install-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		cmd := exec.CommandContext(t.Context(), "go", "install", pkg+"@"+version)
		cmd.Dir = dir // outside the module, so that its go.mod does not count
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
		if out, err := Output(cmd); err != nil {
			return fmt.Errorf("installing %s: %w: %s", pkg, err, tail(out))
		}
		return os.Rename(filepath.Join(dir, name), path)
	})
}

// ModuleRoot returns the folder that holds this module's go.mod.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("finding the module: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}
