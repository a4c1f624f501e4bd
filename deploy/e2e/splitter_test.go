package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// wrapped is the type of the artifacts that the splitter makes of blobs.
const wrapped = "application/vnd.example.wrapped"

// A splitter sends what writes to the upstream and what reads to the program, so that a suite that pushes what it then
// pulls can test a registry that only pulls. It does two things more, since neither side would:
//   - The program serves a blob only as part of an admitted image, and the suite reads blobs that are part of none: a
//     blob that was pushed is wrapped in an artifact, which is pulled.
//   - The upstream (distribution 3.1) has no referrers API, and the suite does not keep up the referrers tag, as the
//     specification wants of a client then: the splitter does it, and answers with OCI-Subject.
type splitter struct {
	upstream, program string // URLs
	writes, reads     *httputil.ReverseProxy
	tags              sync.Mutex // one referrers tag is changed at a time
}

func newSplitter(t *testing.T, upstream, program string) *httptest.Server {
	t.Helper()
	s := &splitter{upstream: upstream, program: program, writes: forward(t, upstream), reads: forward(t, program)}
	s.writes.ModifyResponse = s.pushed
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server
}

// forward is a proxy that keeps the Host, which registries write into Location.
func forward(t *testing.T, address string) *httputil.ReverseProxy {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
}

func (s *splitter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.Contains(r.URL.Path, "/blobs/uploads/") {
		if strings.Contains(r.URL.Path, "/manifests/") && r.Body != nil {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		}
		s.writes.ServeHTTP(w, r)
		return
	}
	s.reads.ServeHTTP(w, r)
}

// pushed looks at the upstream's answer to a write.
func (s *splitter) pushed(response *http.Response) error {
	location := response.Header.Get("Location")
	if response.StatusCode != http.StatusCreated || location == "" {
		return nil
	}
	at, err := url.Parse(location)
	if err != nil {
		return err
	}
	path, digest := at.Path[:strings.LastIndex(at.Path, "/")], at.Path[strings.LastIndex(at.Path, "/")+1:]
	if repository, isBlob := strings.CutSuffix(path, "/blobs"); isBlob {
		return s.wrap(repository, digest)
	}
	repository := strings.TrimSuffix(path, "/manifests")
	subject, err := s.refer(repository, digest, response)
	if err == nil && subject != "" {
		response.Header.Set("OCI-Subject", subject)
	}
	return err
}

// wrap makes an artifact of a blob and pulls it through the program.
func (s *splitter) wrap(repository, digest string) error {
	head, err := http.Head(s.upstream + repository + "/blobs/" + digest)
	if err != nil {
		return err
	}
	head.Body.Close()
	if head.StatusCode != http.StatusOK || !strings.HasPrefix(digest, "sha256:") {
		return nil
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
		types.OCIManifestSchema1, wrapped, wrapped, digest, head.ContentLength)
	hash, _, err := v1.SHA256(bytes.NewReader(manifest))
	if err != nil {
		return err
	}
	named := repository + "/manifests/" + hash.String()
	if _, err := send(http.MethodPut, s.upstream+named, types.OCIManifestSchema1, manifest); err != nil {
		return err
	}
	_, err = send(http.MethodGet, s.program+named, "", nil)
	return err
}

// refer adds a manifest that was pushed to the list of its subject's referrers and returns the subject's digest.
func (s *splitter) refer(repository, digest string, response *http.Response) (string, error) {
	body, err := response.Request.GetBody()
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	var manifest struct {
		MediaType    types.MediaType
		ArtifactType string
		Annotations  map[string]string
		Config       struct{ MediaType string }
		Subject      *v1.Descriptor
	}
	if err := json.Unmarshal(raw, &manifest); err != nil || manifest.Subject == nil {
		return "", err
	}
	hash, err := v1.NewHash(digest)
	if err != nil {
		return "", err
	}
	entry := v1.Descriptor{
		MediaType: manifest.MediaType, Digest: hash, Size: int64(len(raw)),
		ArtifactType: manifest.ArtifactType, Annotations: manifest.Annotations,
	}
	if entry.ArtifactType == "" {
		entry.ArtifactType = manifest.Config.MediaType
	}
	s.tags.Lock()
	defer s.tags.Unlock()
	subject := manifest.Subject.Digest
	tag := s.upstream + repository + "/manifests/" + subject.Algorithm + "-" + subject.Hex
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	if held, err := send(http.MethodGet, tag, "", nil); err == nil {
		if err := json.Unmarshal(held, &index); err != nil {
			return "", err
		}
	}
	for _, have := range index.Manifests {
		if have.Digest == hash {
			return subject.String(), nil
		}
	}
	index.Manifests = append(index.Manifests, entry)
	changed, err := json.Marshal(index)
	if err != nil {
		return "", err
	}
	_, err = send(http.MethodPut, tag, types.OCIImageIndex, changed)
	return subject.String(), err
}

func send(method, address string, media types.MediaType, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if media != "" {
		request.Header.Set("Content-Type", string(media))
	}
	request.Header.Set("Accept", string(types.OCIImageIndex)+", "+string(types.OCIManifestSchema1))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, address, response.Status, answer)
	}
	return answer, err
}
