package policy

import "time"

// A Resolution is what a tag led to when it was last looked up.
type Resolution struct {
	Digest    string    `json:"digest,omitempty"`
	MediaType string    `json:"mediaType,omitempty"`
	Size      int64     `json:"size,omitempty"`
	Missing   bool      `json:"missing,omitempty"` // the upstream said that the tag does not exist
	At        time.Time `json:"at"`                // when the upstream said so
}

// A Grant is the right of one repository to serve one digest, as a blob or as a manifest: the admitted manifest that
// gives it and how that manifest was named. It holds only while that manifest's verdict does.
type Grant struct {
	Manifest string `json:"manifest"` // digest of the admitted manifest that lists the granted digest
	Via      Via    `json:"via"`
	Size     int64  `json:"size"` // of the granted object, as that manifest declares it
	Media    string `json:"media,omitempty"`
}

// Requester is who asks. It is the CEL variable `request`, next to what is asked for.
type Requester struct {
	IP    string
	User  string
	Agent string
}
