package manifest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// fields reads the members of one object by their exact names. The first fault sticks: callers read on and ask err
// once. A member that differs from a known name only in case is a fault, since a client that folds case would read it.
type fields struct {
	path string
	obj  object
	err  *error
}

func (f fields) fail(key, format string, args ...any) {
	if *f.err == nil {
		*f.err = &Error{Path: join(f.path, key), Problem: fmt.Sprintf(format, args...)}
	}
}

// known refuses every member whose name folds to one of names without being it.
func (f fields) known(names ...string) {
	for key := range f.obj {
		if slices.Contains(names, key) {
			continue
		}
		for _, name := range names {
			if foldKey(key) == foldKey(name) {
				f.fail(key, "must be written %q", name)
			}
		}
	}
}

func (f fields) has(key string) bool { _, ok := f.obj[key]; return ok }

func (f fields) str(key string) string {
	switch v := f.obj[key].(type) {
	case nil:
		return ""
	case string:
		return v
	}
	f.fail(key, "must be a string")
	return ""
}

func (f fields) boolean(key string) bool {
	switch v := f.obj[key].(type) {
	case nil:
		return false
	case bool:
		return v
	}
	f.fail(key, "must be true or false")
	return false
}

var plainInteger = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// size reads a required byte count: digits only, so that no parser rounds it.
func (f fields) size(key string) int64 {
	n, ok := f.obj[key].(json.Number)
	if !ok || !plainInteger.MatchString(n.String()) {
		f.fail(key, "must be a whole number of bytes")
		return 0
	}
	v, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || v > MaxObjectSize {
		f.fail(key, "is larger than %d bytes", int64(MaxObjectSize))
		return 0
	}
	return v
}

func (f fields) time(key string) time.Time {
	s := f.str(key)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		f.fail(key, "must be an RFC 3339 time")
		return time.Time{}
	}
	return t.UTC()
}

func (f fields) sub(key string) (fields, bool) {
	switch v := f.obj[key].(type) {
	case nil:
		return fields{err: f.err, path: join(f.path, key)}, false
	case object:
		return fields{path: join(f.path, key), obj: v, err: f.err}, true
	}
	f.fail(key, "must be an object")
	return fields{err: f.err, path: join(f.path, key)}, false
}

// list returns the objects of an array, or nil where the member is absent or null.
func (f fields) list(key string, limit int) []fields {
	switch v := f.obj[key].(type) {
	case nil:
		return nil
	case array:
		if len(v) > limit {
			f.fail(key, "has more than %d entries", limit)
			return nil
		}
		out := make([]fields, 0, len(v))
		for i, x := range v {
			at := fmt.Sprintf("%s[%d]", join(f.path, key), i)
			obj, ok := x.(object)
			if !ok {
				f.fail(key, "must hold objects only")
				return nil
			}
			out = append(out, fields{path: at, obj: obj, err: f.err})
		}
		return out
	}
	f.fail(key, "must be an array")
	return nil
}

func (f fields) strings(key string) []string {
	switch v := f.obj[key].(type) {
	case nil:
		return nil
	case array:
		out := make([]string, 0, len(v))
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				f.fail(key, "must hold strings only")
				return nil
			}
			out = append(out, s)
		}
		return out
	}
	f.fail(key, "must be an array of strings")
	return nil
}

func (f fields) stringMap(key string) map[string]string {
	switch v := f.obj[key].(type) {
	case nil:
		return nil
	case object:
		out := make(map[string]string, len(v))
		for k, x := range v {
			s, ok := x.(string)
			if !ok {
				f.fail(key, "must map strings to strings")
				return nil
			}
			out[k] = s
		}
		return out
	}
	f.fail(key, "must map strings to strings")
	return nil
}

// keys returns the sorted keys of a set written as an object of empty objects (ports, volumes).
func (f fields) keys(key string) []string {
	switch v := f.obj[key].(type) {
	case nil:
		return nil
	case object:
		out := make([]string, 0, len(v))
		for k := range v {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	f.fail(key, "must be an object")
	return nil
}
