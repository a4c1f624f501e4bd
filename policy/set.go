package policy

// A File is one file of policy documents. Name stands in error messages only.
type File struct {
	Name string
	Data []byte
}
