package cache

import "time"

// The states of Redis as Status reports them.
const (
	RedisOff        = "off"        // none is configured
	RedisConnecting = "connecting" // the first connection is being made
	RedisUp         = "up"
	RedisDegraded   = "degraded" // out of reach or refusing; memory and the embedded store answer
)

// Status is how the cache is, for readiness and metrics. A degraded Redis does not make a replica unready: it serves.
type Status struct {
	Redis    string    `json:"redis"`              // one of the constants above
	Since    time.Time `json:"since"`              // when Redis came into that state
	Reason   string    `json:"reason,omitempty"`   // why it is degraded
	Embedded string    `json:"embedded,omitempty"` // why the embedded store cannot be written; empty = it can
	Dropped  int       `json:"dropped"`            // writes that the embedded store had no room for
	Unsent   int       `json:"unsent"`             // entries that wait for Redis to come back
	Entries  int       `json:"entries"`            // in memory
	Bytes    int64     `json:"bytes"`              // in memory, estimated
}
