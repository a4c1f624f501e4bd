package rules

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/winnow-registry/winnow/policy"
)

type exposedPortsParams struct {
	Deny  []portRange `yaml:"deny" jsonschema_description:"ports that must not be exposed: 22, 1-1023, 53/udp; default: remote shells and desktops, and the Docker socket"`
	Allow []portRange `yaml:"allow" jsonschema_description:"when given, only these ports may be exposed"`
}

func exposedPorts() policy.Builtin {
	return define(policy.Builtin{
		Name:  "config.exposed-ports",
		Title: "Exposes no forbidden port",
		Doc: "Refuses images that declare ports they should not listen on. The declaration is all that is judged: a program " +
			"may listen elsewhere.",
		Controls: []string{"NIST SP 800-190 4.1.2", "CIS Docker 5.8", "DISA CCI-001762"},
		Advice:   "Remove EXPOSE for the port and the service behind it, or listen on an allowed port.",
		Severity: policy.SeverityMedium,
		Stage:    policy.StageConfig,
		Kinds:    images,
	}, exposedPortsParams{Deny: []portRange{
		{from: 22, to: 23}, {from: 2375, to: 2376}, {from: 3389, to: 3389}, {from: 5900, to: 5909},
	}}, func(p exposedPortsParams) (policy.Check, error) {
		return func(in policy.Input) policy.Outcome { return judgePorts(p, in.Contents.Image.Config.ExposedPorts) }, nil
	})
}

func judgePorts(p exposedPortsParams, exposed []string) policy.Outcome {
	var found []string
	for _, text := range exposed {
		var port portRange
		switch err := port.UnmarshalText([]byte(text)); {
		case err != nil:
			found = append(found, fmt.Sprintf("%q is not a port", text))
		case overlapsAny(p.Deny, port):
			found = append(found, text+" is denied")
		case len(p.Allow) > 0 && !insideAny(p.Allow, port):
			found = append(found, text+" is not among the allowed ports")
		}
	}
	if len(found) == 0 {
		return policy.Outcome{}
	}
	return broken("exposes a port that is not allowed", found...)
}

// A portRange is one port or several, of one protocol or of any: 80, 1-1023, 53/udp.
type portRange struct {
	from, to uint16
	protocol string // empty: any
}

// MarshalText writes the form that UnmarshalText reads, for lists of parameters.
func (r portRange) MarshalText() ([]byte, error) {
	text := strconv.Itoa(int(r.from))
	if r.to != r.from {
		text += "-" + strconv.Itoa(int(r.to))
	}
	if r.protocol != "" {
		text += "/" + r.protocol
	}
	return []byte(text), nil
}

// UnmarshalText reads the forms that portRange documents.
func (r *portRange) UnmarshalText(text []byte) error {
	ports, protocol, hasProtocol := strings.Cut(string(text), "/")
	switch protocol = strings.ToLower(protocol); protocol {
	case "tcp", "udp", "sctp":
	default:
		if hasProtocol {
			return fmt.Errorf("protocol %q is not tcp, udp or sctp", protocol)
		}
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from > to {
		return fmt.Errorf("%q is not a port or range of ports, such as 22, 1-1023 or 53/udp", text)
	}
	*r = portRange{from: uint16(from), to: uint16(to), protocol: protocol}
	return nil
}

// JSONSchema implements the interface of jsonschema.Reflector.
func (portRange) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "0", Maximum: "65535"},
		{Type: "string", Pattern: "^[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$"},
	}}
}

// overlapsAny reports whether some range shares a port with port; a missing protocol is any.
func overlapsAny(ranges []portRange, port portRange) bool {
	for _, r := range ranges {
		if r.from <= port.to && port.from <= r.to && (r.protocol == "" || port.protocol == "" || r.protocol == port.protocol) {
			return true
		}
	}
	return false
}

// insideAny reports whether some range holds all of port.
func insideAny(ranges []portRange, port portRange) bool {
	if port.protocol == "" {
		port.protocol = "tcp" // what EXPOSE means without one
	}
	for _, r := range ranges {
		if r.from <= port.from && port.to <= r.to && (r.protocol == "" || r.protocol == port.protocol) {
			return true
		}
	}
	return false
}
