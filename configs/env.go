package configs

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/winnow-registry/winnow/policy/strictyaml"
)

// envPrefix begins the name of every variable that sets a key.
const envPrefix = "WINNOW_"

// setting is a key that a variable can set.
type setting struct {
	path  string // as in the file, e.g. cache.redis.addresses
	value reflect.Value
}

// EnvironmentKeys returns the names of all variables that Load knows, sorted: WINNOW_ and the path of the key in upper
// case, with _ between levels (listen.publicURL is WINNOW_LISTEN_PUBLICURL). A list of words is given with commas
// between them; what has keys of its own (WINNOW_UPSTREAMS, WINNOW_STORE_PARAMETERS) as YAML or JSON.
func EnvironmentKeys() []string { return sortedKeys(settings(&Config{})) }

func settings(c *Config) map[string]setting {
	all := map[string]setting{}
	addSettings(all, reflect.ValueOf(c).Elem(), "")
	return all
}

func addSettings(all map[string]setting, v reflect.Value, at string) {
	for i := range v.NumField() {
		key := at + v.Type().Field(i).Tag.Get("yaml")
		if f := v.Field(i); f.Kind() == reflect.Struct {
			addSettings(all, f, key+".")
		} else {
			all[envPrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = setting{path: key, value: f}
		}
	}
}

// serviceVariable matches what Kubernetes and Docker links put into every container beside a service whose name begins with
// winnow. Nobody wrote these for us, so they are not taken for misspelt keys.
const serviceVariable = `^WINNOW_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`

// testPrefix begins the variables of Winnow's own tests, which the programs they start inherit.
const testPrefix = envPrefix + "TEST_"

// applyEnviron sets what variables give, and returns which variable gave which key.
func applyEnviron(c *Config, environ []string) (map[string]string, error) {
	var given []string
	for _, e := range environ {
		if strings.HasPrefix(e, envPrefix) && !strings.HasPrefix(e, testPrefix) {
			given = append(given, e)
		}
	}
	if len(given) == 0 {
		return nil, nil
	}
	slices.Sort(given) // so that the same environment gives the same error
	service, known, from := regexp.MustCompile(serviceVariable), settings(c), map[string]string{}
	for _, e := range given {
		name, text, _ := strings.Cut(e, "=")
		s, ok := known[name]
		switch {
		case ok:
			if err := s.set(name, text); err != nil {
				return nil, err
			}
			from[s.path] = name
		case !service.MatchString(name):
			return nil, unknownVariable(name)
		}
	}
	return from, nil
}

func unknownVariable(name string) error {
	hint := "`winnow config print` lists the keys"
	if s := strictyaml.Suggest(name, EnvironmentKeys()); s != "" {
		hint = fmt.Sprintf("did you mean %s?", s)
	}
	return &strictyaml.Error{File: "environment", Message: fmt.Sprintf("unknown variable %s; %s", name, hint)}
}

// set gives the key the value of a variable's text.
func (s setting) set(name, text string) error {
	if u, ok := s.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return &strictyaml.Error{File: name, Message: err.Error()}
		}
		return nil
	}
	switch s.value.Kind() {
	case reflect.String:
		s.value.SetString(text)
		return nil
	case reflect.Slice:
		s.value.Set(reflect.ValueOf(words(text)))
		return nil
	case reflect.Map:
		s.value.SetZero()
	}
	if strings.TrimSpace(text) == "" && s.value.Kind() != reflect.Map {
		return &strictyaml.Error{File: name, Message: "is empty; give it a value or unset it"}
	}
	return strictyaml.Decode(name, []byte(text), s.value.Addr().Interface())
}

// words splits a list at its commas.
func words(text string) []string {
	var out []string
	for w := range strings.SplitSeq(text, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}
