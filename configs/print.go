package configs

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// hidden stands for a secret in what Print writes.
const hidden = "(hidden)"

// Print writes the configuration in force as YAML that Load reads back, without secrets: parameters of the storage driver
// that are some by their name read "(hidden)".
func Print(w io.Writer, c *Config) error {
	shown := *c
	shown.Store.Parameters = make(map[string]any, len(c.Store.Parameters))
	for k, v := range c.Store.Parameters {
		if secretParameter(k) {
			v = hidden
		}
		shown.Store.Parameters[k] = v
	}
	b, err := yaml.MarshalWithOptions(shown, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("printing the configuration: %w", err)
	}
	_, err = w.Write(b)
	return err
}
