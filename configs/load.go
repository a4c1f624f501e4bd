package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// Load returns the configuration that the defaults, then file, then the environment give. An empty file name means none;
// environ is as os.Environ returns it. What is wrong is said on one line: in the file with line and column, in the
// environment with the name of the variable.
func Load(file string, environ []string) (*Config, error) {
	c := Default()
	src := source{file: file}
	if file != "" {
		doc, err := readDocument(file)
		if err != nil {
			return nil, err
		}
		if err := doc.Decode(&c); err != nil {
			return nil, err
		}
		src.doc = doc
	}
	var err error
	if src.env, err = applyEnviron(&c, environ); err != nil {
		return nil, err
	}
	if err := complete(&c, src); err != nil {
		return nil, err
	}
	if err := validate(&c, src); err != nil {
		return nil, err
	}
	return &c, nil
}

// readDocument returns the one document of a file, empty when it holds none.
func readDocument(file string) (strictyaml.Document, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return strictyaml.Document{}, fmt.Errorf("%s: no such file; `winnow config print` shows what to write there", file)
	}
	if err != nil {
		return strictyaml.Document{}, fmt.Errorf("reading the configuration: %w", err)
	}
	docs, err := strictyaml.Documents(file, data)
	if err != nil || len(docs) == 0 {
		return strictyaml.Document{}, err
	}
	if len(docs) > 1 {
		return strictyaml.Document{}, docs[1].Errorf(nil, "a second document begins here; a configuration is one")
	}
	return docs[0], nil
}

// complete brings names into their one form and fills in what follows from other keys.
func complete(c *Config, src source) error {
	all := make(map[string]Upstream, len(c.Upstreams))
	for _, name := range sortedKeys(c.Upstreams) {
		u, one := c.Upstreams[name], canonical(name)
		if _, twice := all[one]; twice {
			return src.errorf(path{"upstreams", name}, "upstreams: %q is another name of %s, which is given too; keep one", name, one)
		}
		if u.URL == "" {
			u.URL = defaultURL(one)
		}
		all[one] = u
	}
	c.Upstreams = all
	c.DefaultUpstream = canonical(c.DefaultUpstream)
	if c.Store.Driver == driverFilesystem && c.Store.Parameters[rootDirectory] == nil {
		p := map[string]any{rootDirectory: defaultRoot}
		for k, v := range c.Store.Parameters {
			if k != rootDirectory {
				p[k] = v
			}
		}
		c.Store.Parameters = p
	}
	return nil
}
