package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
)

// reads is what an expression looks at. What cannot be told apart counts as read.
type reads struct {
	stage    Stage
	kinds    []Kind // what it is asked about
	now      bool
	clientIP bool // of request.client
	user     bool
	agent    bool
	uses     []string // fields that an image may lack, and that the expression uses without has()
}

const (
	fieldCreated     = "created"
	fieldFirstSeen   = "firstSeen"
	fieldHealthcheck = "config.healthcheck"
)

// readsOf finds the fields that an expression reads. A name that a loop variable shadows counts as the variable.
func readsOf(a *ast.AST) reads {
	r := reads{kinds: []Kind{KindImage, KindIndex, KindArtifact}}
	every := r.kinds
	var used, tested []string
	ownKinds := false // whether the expression tells kinds apart by itself
	for _, e := range ast.MatchDescendants(ast.NavigateAST(a), ast.KindMatcher(ast.IdentKind)) {
		fields, has := selected(e)
		switch e.AsIdent() {
		case "now":
			r.now = true
		case "request":
			r.request(fields)
		case "image":
			if has {
				tested = append(tested, strings.Join(fields, "."))
			} else {
				used = append(used, fields[0], fields[0]+"."+fields[1])
			}
			stage, everyKind := imageField(fields[0])
			r.stage = max(r.stage, stage)
			if !everyKind {
				r.kinds = []Kind{KindImage}
			}
			ownKinds = ownKinds || fields[0] == "kind" || fields[0] == "artifactType"
		}
	}
	if ownKinds {
		r.kinds = every
	}
	for _, field := range []string{fieldCreated, fieldFirstSeen, fieldHealthcheck} {
		if slices.Contains(used, field) && !slices.ContainsFunc(tested, func(t string) bool { return strings.TrimRight(t, ".") == field }) {
			r.uses = append(r.uses, field)
		}
	}
	return r
}

// selected returns the first two fields that are selected from e, empty where there are fewer: client and user of
// request.client.user. The last of them is only tested where has is true.
func selected(e ast.NavigableExpr) (fields []string, has bool) {
	fields = make([]string, 2)
	for i := range fields {
		parent, ok := e.Parent()
		if !ok || parent.Kind() != ast.SelectKind {
			break
		}
		fields[i], has = parent.AsSelect().FieldName(), parent.AsSelect().IsTestOnly()
		e = parent
	}
	return fields, has
}

func (r *reads) request(fields []string) {
	field, inner := fields[0], fields[1]
	if field == "repository" || field == "tag" {
		return
	}
	whole := field != "client" || inner == ""
	r.clientIP = r.clientIP || whole || inner == "ip"
	r.user = r.user || whole || inner == "user"
	r.agent = r.agent || whole || inner == "agent"
}

// imageField returns the stage at which a field of image is known, and whether it says something about indexes and
// artifacts too. Annotations do not: builders set them on the index or on the image, and signatures have others.
func imageField(field string) (stage Stage, everyKind bool) {
	switch field {
	case "name", "upstream", "repository", "tag", "digest", fieldFirstSeen:
		return StageReference, true
	case "kind", "mediaType", "artifactType":
		return StageManifest, true
	case "size", "layers", "annotations":
		return StageManifest, false
	}
	return StageConfig, false // config, history, created, platform, and image as a whole
}

// absent names a field that the expression counts on and the image lacks, "" when there is none.
func (r *reads) absent(i *Image) string {
	for _, field := range r.uses {
		switch field {
		case fieldCreated:
			if i.Created.IsZero() {
				return field
			}
		case fieldFirstSeen:
			if i.FirstSeen.IsZero() {
				return field
			}
		case fieldHealthcheck:
			if i.Config.Healthcheck == nil {
				return field
			}
		}
	}
	return ""
}

// addClient makes r read what other reads of the client.
func (r *reads) addClient(other reads) {
	r.clientIP = r.clientIP || other.clientIP
	r.user = r.user || other.user
	r.agent = r.agent || other.agent
}
