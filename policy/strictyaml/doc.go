// Package strictyaml decodes YAML documents into Go structs and refuses everything that a person did not mean: unknown
// and duplicate keys, values of another type, several documents where one is wanted. Each refusal is one line that
// names file, line and column, and where it can, the key that was meant.
//
// It reads a part of YAML only. Anchors, aliases, tags, merge keys, directives and explicit keys are errors: nobody needs
// them to write a policy or a configuration, and with them a small file can stand for a large one or for a surprise. The
// parsing itself is goccy/go-yaml's. It does not validate: what a value means is its owner's to say, with Position
// for the place.
package strictyaml
