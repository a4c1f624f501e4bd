package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	modulePath = "github.com/winnow-registry/winnow"
	moduleRoot = "../.."
)

// mayImport is the import table: which packages of ours a package may import, outside its tests. What has no line of its
// own follows the line above it in the tree. A line's packages may import one another.
func mayImport() map[string][]string {
	return map[string][]string{
		"cmd":               {"*"},
		"configs":           {"policy", "policy/strictyaml"},
		"cache":             {"policy"},
		"cache/cachetest":   {"cache", "policy"},
		"policy":            {"policy/strictyaml"},
		"policy/rules":      {"policy"},
		"policy/inspect":    {"policy"},
		"policy/advisory":   {"policy"},
		"policy/signing":    {"policy"},
		"policy/strictyaml": {},
		"proxy":             {"proxy/admission", "proxy/audit"},
		"proxy/admission":   {"policy"},
		"proxy/upstream":    {},
		"proxy/store":       {},
		"proxy/slim":        {"policy"},
		"proxy/audit":       {},
		"proxy/intercept":   {},
		"proxy/console":     {"proxy/audit", "policy", "cache"},
		"deploy":            {"*"},
	}
}

// guarded lists what only some packages may import, outside tests; what is below them may too, except below proxy.
func guarded() map[string][]string {
	everywhereButPolicy := []string{
		"cmd/winnow", "proxy", "proxy/admission", "proxy/upstream", "proxy/store", "proxy/console", "proxy/audit", "proxy/slim", "proxy/intercept", "cache", "deploy",
	}
	return map[string][]string{
		"go.uber.org/zap":           everywhereButPolicy,
		"github.com/redis/go-redis": {"cache", "deploy"},
		"github.com/distribution/distribution/v3/registry/storage":        {"proxy/store", "deploy"},
		"github.com/distribution/distribution/v3/registry/storage/driver": {"proxy/store", "cmd/winnow", "deploy"},
		"github.com/distribution/distribution/v3/registry/handlers":       {"deploy"},
		"github.com/distribution/distribution/v3/registry/proxy":          {"deploy"},
		"github.com/google/go-containerregistry/pkg/v1/remote":            {"proxy/upstream", "deploy"},
		"github.com/google/go-containerregistry/pkg/crane":                {"deploy"},
		"github.com/goccy/go-yaml":                                        {"policy/strictyaml", "configs", "deploy"},
		"go.etcd.io/bbolt":                                                {"cache"},
		"github.com/spf13/cobra":                                          {"cmd/winnow"},
		"net/http":                                                        append([]string{"policy/advisory"}, everywhereButPolicy...),
		"net":                                                             append([]string{"configs", "policy/advisory"}, everywhereButPolicy...),
		"os/exec":                                                         {"cmd/winnow", "proxy/upstream", "cache/cachetest", "proxy/store/storetest", "deploy"},
	}
}

// sourceFile is what one file imports.
type sourceFile struct {
	name, dir string // from the root of the module
	imports   []string
}

// sourceFiles parses the imports of every Go file of the module that is not a test.
func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(moduleRoot, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "testdata" || e.Name() == "data" || strings.HasPrefix(e.Name(), ".") && e.Name() != "..") {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(moduleRoot, name)
		if err != nil {
			return err
		}
		f := sourceFile{name: filepath.ToSlash(rel), dir: path.Dir(filepath.ToSlash(rel))}
		for _, i := range parsed.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		if f.dir != "." { // the root holds no package; a file there pins modules for a while
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// below reports whether p is dir or below it.
func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// nearest returns the longest of keys that dir is or is below.
func nearest(dir string, keys []string) string {
	best := ""
	for _, k := range keys {
		if below(dir, k) && len(k) > len(best) {
			best = k
		}
	}
	return best
}

func TestImportTable(t *testing.T) {
	t.Parallel()
	table := mayImport()
	rows := slices.Collect(maps.Keys(table))
	files := sourceFiles(t)
	if len(files) < 50 {
		t.Fatalf("found %d files only: the test looks in the wrong place", len(files))
	}
	for _, f := range files {
		row := nearest(f.dir, rows)
		if row == "" {
			t.Errorf("%s: %s is not in the import table; say what it may import", f.name, f.dir)
			continue
		}
		for _, imported := range f.imports {
			ours, ok := strings.CutPrefix(imported, modulePath+"/")
			// A tree may import itself; what of the tree has a row of its own is the table's.
			if !ok || nearest(ours, rows) == row {
				continue
			}
			if !slices.Contains(table[row], "*") && !slices.Contains(table[row], nearest(ours, rows)) {
				t.Errorf("%s imports %s; %s may import %v", f.name, ours, row, table[row])
			}
		}
	}
}

func TestGuardedImports(t *testing.T) {
	t.Parallel()
	guards := guarded()
	keys := slices.Collect(maps.Keys(guards))
	for _, f := range sourceFiles(t) {
		for _, imported := range f.imports {
			guard := nearest(imported, keys)
			if guard == "" || strings.HasPrefix(guard, "net") && imported != guard && imported != "net/http" {
				continue // net/netip, net/url and the like reach no network
			}
			if !slices.ContainsFunc(guards[guard], func(d string) bool { return f.dir == d || d != "proxy" && below(f.dir, d) }) {
				t.Errorf("%s imports %s; only %v may", f.name, imported, guards[guard])
			}
		}
	}
}

// TestStorageDriversAreLinkedByTheCommandOnly keeps the choice of drivers in one place.
func TestStorageDriversAreLinkedByTheCommandOnly(t *testing.T) {
	t.Parallel()
	const drivers = "github.com/distribution/distribution/v3/registry/storage/driver/"
	for _, f := range sourceFiles(t) {
		for _, imported := range f.imports {
			driver, ok := strings.CutPrefix(imported, drivers)
			if ok && slices.Contains([]string{"s3-aws", "gcs", "azure", "inmemory"}, driver) && !below(f.dir, "cmd/winnow") && !below(f.dir, "deploy") {
				t.Errorf("%s links the driver %s; only cmd/winnow does", f.name, driver)
			}
		}
	}
}

// TestDependenciesAreListed holds README's table of dependencies against the direct requirements of go.mod.
func TestDependenciesAreListed(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(moduleRoot, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## Dependencies\n")
	if !found {
		t.Fatal("README.md has no section Dependencies")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| *`([^` ]+)` *\\|").FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
	}
	slices.Sort(listed)
	if diff := cmp.Diff(directDependencies(t), listed); diff != "" {
		t.Errorf("README's table of dependencies differs from go.mod (-go.mod +README):\n%s", diff)
	}
}

func directDependencies(t *testing.T) []string {
	t.Helper()
	gomod, err := os.ReadFile(filepath.Join(moduleRoot, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for line := range strings.Lines(string(gomod)) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) == 2 && strings.HasPrefix(f[1], "v") && strings.Contains(f[0], ".") {
			direct = append(direct, f[0])
		}
	}
	slices.Sort(direct)
	return direct
}
