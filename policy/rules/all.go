package rules

import "github.com/winnow-registry/winnow/policy"

// All returns the built-in rules, sorted by name. The slice is the caller's.
func All() []policy.Builtin {
	return []policy.Builtin{
		exposedPorts(),
		healthcheck(),
		nonRoot(),
		requiredLabels(),
		secrets(),
		maxAge(),
		maxLayers(),
		maxSize(),
		minAge(),
		platforms(),
		foreignLayers(),
		mediaTypes(),
		requiredAnnotations(),
		allowedRepositories(),
		allowedUpstreams(),
		digestRequired(),
		tagPattern(),
	}
}
