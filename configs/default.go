package configs

import (
	_ "embed"
	"time"
)

//go:embed winnow.yaml
var defaultYAML []byte

// DefaultYAML returns the configuration file that documents every key and gives each its default.
func DefaultYAML() []byte { return append([]byte(nil), defaultYAML...) }

// Default returns the configuration of a `winnow serve` without file and environment: it serves Docker Hub under the
// baseline policy to this machine and keeps its data below ./data.
func Default() Config {
	return Config{
		Listen:          Listen{Registry: "127.0.0.1:5000", Console: "127.0.0.1:5001"},
		Upstreams:       map[string]Upstream{dockerHub: {URL: dockerHubAt}},
		DefaultUpstream: dockerHub,
		Tags:            Tags{TTL: Duration(time.Minute), Stale: Duration(24 * time.Hour)},
		Admission: Admission{
			Hold:         Duration(25 * time.Second), // containerd 2.3 and later give up after 30 s
			Timeout:      Duration(10 * time.Minute),
			Platforms:    []string{"linux/amd64", "linux/arm64"},
			MaxImageSize: 20 * gibibyte,
			Concurrency:  4,
		},
		Deny: Deny{Style: "standard"},
		Store: Store{
			Driver:     driverFilesystem,
			Parameters: map[string]any{rootDirectory: defaultRoot},
			MaxSize:    50 * gibibyte,
		},
		Cache:      Cache{Embedded: Embedded{Path: "./data/cache.db"}},
		Advisories: Advisories{Refresh: Duration(6 * time.Hour), MaxAge: Duration(72 * time.Hour)},
		Audit:      Audit{Path: "./data/audit", FSync: true, OnFailure: "refuse"},
		Log:        Log{Level: "info", Format: "json"},
	}
}
