// Package configs provides Winnow's configuration: Config is the manual of every key, Load reads it from a YAML file and
// the environment, and the defaults, the embedded policies and the JSON Schema come with it.
//
// Load either returns a configuration that is valid as far as reading it and looking at files can tell, or one line
// that says what is wrong, where, and what to do. It opens no socket and makes no file; whether an upstream answers or a policy
// compiles is for others to find out. A Config never holds a secret, only the names of files that do, except what
// somebody writes into store.parameters; Print leaves that out.
package configs
