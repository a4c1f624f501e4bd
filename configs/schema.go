package configs

import _ "embed"

//go:embed schema/config.schema.json
var configSchema []byte

// Schema returns the JSON Schema (2020-12) of the configuration file, for editors. It is made from Config and its
// comments.
func Schema() []byte { return append([]byte(nil), configSchema...) }
