package policy

import "time"

// The types below are the CEL variables image, request and now. The field names are a public format; the text in
// doc is what `winnow policy schema` prints about them. A time or a health check that an image does not give is
// absent: an expression asks has() first, and one that uses it all the same is broken, never passed.

type celImage struct {
	Name         string            `cel:"name" doc:"upstream and repository, e.g. docker.io/library/nginx"`
	Upstream     string            `cel:"upstream" doc:"e.g. docker.io"`
	Repository   string            `cel:"repository" doc:"path below the upstream, e.g. library/nginx"`
	Tag          string            `cel:"tag" doc:"empty when the image was asked for by digest"`
	Digest       string            `cel:"digest" doc:"sha256:… of the manifest"`
	Kind         string            `cel:"kind" doc:"image, index or artifact; a rule that names it is asked about all three"`
	MediaType    string            `cel:"mediaType" doc:"of the manifest"`
	ArtifactType string            `cel:"artifactType" doc:"what an artifact says it is; empty for images"`
	Platform     string            `cel:"platform" doc:"os/architecture[/variant]"`
	Created      *time.Time        `cel:"created" doc:"absent when the configuration does not say"`
	FirstSeen    *time.Time        `cel:"firstSeen" doc:"when Winnow first met this digest in this repository"`
	Size         int64             `cel:"size" doc:"bytes of configuration and layers, compressed, as the manifest declares them"`
	Layers       []celLayer        `cel:"layers" doc:"as the manifest declares them, lowest first"`
	Annotations  map[string]string `cel:"annotations" doc:"of the manifest"`
	Config       celConfig         `cel:"config" doc:"what a container starts with"`
	History      []celHistory      `cel:"history" doc:"how the image says it was built"`
}

type celLayer struct {
	MediaType   string            `cel:"mediaType" doc:"e.g. application/vnd.oci.image.layer.v1.tar+gzip"`
	Digest      string            `cel:"digest" doc:"sha256:…"`
	Size        int64             `cel:"size" doc:"bytes, compressed"`
	URLs        []string          `cel:"urls" doc:"foreign addresses that a client would fetch by itself"`
	Annotations map[string]string `cel:"annotations" doc:"of the layer"`
}

type celConfig struct {
	User        string            `cel:"user" doc:"as written: name or number, with or without group"`
	Env         []string          `cel:"env" doc:"KEY=value"`
	Entrypoint  []string          `cel:"entrypoint" doc:"the program and its arguments"`
	Cmd         []string          `cel:"cmd" doc:"arguments after the entrypoint, or the program itself"`
	WorkingDir  string            `cel:"workingDir" doc:"where the program starts"`
	Ports       []string          `cel:"ports" doc:"exposed ports, e.g. 8080/tcp, sorted"`
	Volumes     []string          `cel:"volumes" doc:"sorted"`
	Labels      map[string]string `cel:"labels" doc:"of the configuration"`
	Healthcheck *celHealthcheck   `cel:"healthcheck" doc:"absent when the image has none"`
	StopSignal  string            `cel:"stopSignal" doc:"e.g. SIGQUIT"`
}

type celHealthcheck struct {
	Test []string `cel:"test" doc:"[NONE], [CMD, …] or [CMD-SHELL, …]"`
}

type celHistory struct {
	CreatedBy  string `cel:"createdBy" doc:"the instruction"`
	Comment    string `cel:"comment" doc:"free text"`
	EmptyLayer bool   `cel:"emptyLayer" doc:"true when the instruction changed no file"`
}

type celRequest struct {
	Repository string    `cel:"repository" doc:"upstream and repository as asked for"`
	Tag        string    `cel:"tag" doc:"empty when asked for by digest"`
	Client     celClient `cel:"client" doc:"who asks; verdicts of rules that read it are kept per client"`
}

type celClient struct {
	IP    string `cel:"ip" doc:"the peer's address"`
	User  string `cel:"user" doc:"the authenticated name; empty for anonymous pulls"`
	Agent string `cel:"agent" doc:"what the client says of itself in User-Agent"`
}

func imageVariable(i *Image) *celImage {
	out := &celImage{
		Name: i.Reference.Name(), Upstream: i.Reference.Upstream, Repository: i.Reference.Repository,
		Tag: i.Reference.Tag, Digest: i.Reference.Digest, Kind: string(i.Kind), MediaType: i.MediaType,
		ArtifactType: i.ArtifactType, Platform: i.Platform.String(), Created: when(i.Created),
		FirstSeen: when(i.FirstSeen), Size: i.Size, Annotations: i.Annotations,
		Config: celConfig{
			User: i.Config.User, Env: i.Config.Env, Entrypoint: i.Config.Entrypoint, Cmd: i.Config.Cmd,
			WorkingDir: i.Config.WorkingDir, Ports: i.Config.ExposedPorts, Volumes: i.Config.Volumes,
			Labels: i.Config.Labels, StopSignal: i.Config.StopSignal,
		},
	}
	if h := i.Config.Healthcheck; h != nil {
		out.Config.Healthcheck = &celHealthcheck{Test: h.Test}
	}
	for _, l := range i.Layers {
		out.Layers = append(out.Layers, celLayer(l))
	}
	for _, h := range i.History {
		out.History = append(out.History, celHistory{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer})
	}
	return out
}

func requestVariable(ref Reference, who Requester) *celRequest {
	return &celRequest{Repository: ref.Name(), Tag: ref.Tag, Client: celClient(who)}
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
