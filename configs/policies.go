package configs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

//go:embed policies
var embedded embed.FS

const (
	// baselinePolicy is the embedded policy in force where none is configured.
	baselinePolicy = "baseline"
	// maxPolicyFile bounds one file; the parser of policies takes no larger one.
	maxPolicyFile = 1 << 20
	// maxPolicyFiles bounds how many files a folder may give: far more than anybody writes, and a wrong folder, such as
	// the root of a disk, is found out quickly.
	maxPolicyFiles = 1000
)

// EmbeddedPolicy returns the embedded policy of a name: baseline, standard or strict.
func EmbeddedPolicy(name string) ([]byte, error) {
	b, err := fs.ReadFile(embedded, "policies/"+name+".yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded policy %q: %w", name, err)
	}
	return b, nil
}

// ReadPolicies returns the files of policy.paths in the order given, those of a folder by name. A path that gives no file
// is an error: a policy somebody counts on would be missing.
func ReadPolicies(c *Config) ([]policy.File, error) {
	paths := c.Policy.Paths
	if len(paths) == 0 {
		b, err := EmbeddedPolicy(baselinePolicy)
		return []policy.File{{Name: "embedded:" + baselinePolicy, Data: b}}, err
	}
	files, err := ReadPolicyPaths(paths)
	if err != nil {
		return nil, fmt.Errorf("policy.paths: %w", err)
	}
	return files, nil
}

// ReadPolicyPaths returns the files of paths, each as policy.paths may name them.
func ReadPolicyPaths(paths []string) ([]policy.File, error) {
	var files []policy.File
	for _, p := range paths {
		more, err := readPolicyPath(p)
		if err != nil {
			return nil, err
		}
		if files = append(files, more...); len(files) > maxPolicyFiles {
			return nil, fmt.Errorf("more than %d files; is %s the folder that was meant?", maxPolicyFiles, p)
		}
	}
	return files, nil
}

func readPolicyPath(p string) ([]policy.File, error) {
	info, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.Base(p) == p:
		b, missing := EmbeddedPolicy(p)
		if missing != nil {
			return nil, fmt.Errorf("%s is no file, no folder and no embedded policy (baseline, standard, strict)", p)
		}
		return []policy.File{{Name: "embedded:" + p, Data: b}}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file or folder", p)
	case err != nil:
		return nil, err
	case !info.IsDir():
		f, err := readPolicyFile(p)
		return []policy.File{f}, err
	}
	files, err := readPolicyFolder(p)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: the folder holds no *.yaml or *.yml file", p)
	}
	return files, err
}

// readPolicyFolder reads a folder and its subfolders, without what a dot hides: Kubernetes keeps the versions of a mounted
// ConfigMap in such folders and links to them.
func readPolicyFolder(dir string) ([]policy.File, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var files []policy.File
	err = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p != root && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		case e.Type()&fs.ModeSymlink != 0 && leadsToFolder(p):
			return fmt.Errorf("%s is a link to a folder; name that folder in policy.paths", p)
		case !slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(p))):
			return nil
		case IsPolicyTest(p):
			return refuseHiddenPolicy(p)
		case len(files) == maxPolicyFiles:
			return fmt.Errorf("%s: more than %d files", dir, maxPolicyFiles)
		}
		f, err := readPolicyFile(p)
		files = append(files, f)
		return err
	})
	return files, err
}

// IsPolicyTest reports whether a file of that name holds tests of policies, *_test.yaml. Such files may lie beside the
// policies of a folder and are not read with them.
func IsPolicyTest(name string) bool {
	ext := filepath.Ext(name)
	return slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(ext)) && strings.HasSuffix(strings.TrimSuffix(name, ext), "_test")
}

// refuseHiddenPolicy refuses a policy whose file has the name of a test: left out, it would be missing in silence.
func refuseHiddenPolicy(p string) error {
	f, err := readPolicyFile(p)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(f.Data) {
		if bytes.HasPrefix(line, []byte("kind:")) {
			return fmt.Errorf("%s is named like tests of policies, but holds a policy; rename it", p)
		}
	}
	return nil
}

func leadsToFolder(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

func readPolicyFile(p string) (policy.File, error) {
	info, err := os.Stat(p)
	if err != nil {
		return policy.File{}, err
	}
	if !info.Mode().IsRegular() {
		return policy.File{}, fmt.Errorf("%s is no regular file", p)
	}
	if info.Size() > maxPolicyFile {
		return policy.File{}, fmt.Errorf("%s is larger than %d bytes; split it", p, maxPolicyFile)
	}
	b, err := os.ReadFile(p)
	return policy.File{Name: p, Data: b}, err
}
