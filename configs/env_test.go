package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/winnow-registry/winnow/configs"
)

func TestEnvironmentSetsEveryKindOfKey(t *testing.T) {
	t.Parallel()
	key := write(t, "k", strings.Repeat("k", 32))
	c, err := configs.Load(write(t, "w.yaml", "log: {level: warn, format: console}\nadmission: {concurrency: 2}"), []string{
		"PATH=/bin", "WINNOW_CACHE_REDIS_ADDRESSES=a:6379, b:6379", "WINNOW_CACHE_MACKEYFILE=" + key, "WINNOW_LISTEN_PUBLICURL=https://r.example",
		`WINNOW_UPSTREAMS={"ghcr.io": {}, "corp:5000": {"url": "http://10.0.0.1", "private": true}}`, "WINNOW_DEFAULTUPSTREAM=",
		"WINNOW_TAGS_TTL=5m", "WINNOW_AUDIT_FSYNC=false", "WINNOW_ADMISSION_CONCURRENCY=9", "WINNOW_STORE_MAXSIZE=1GiB",
		"WINNOW_LOG_LEVEL=debug", "WINNOW_STORE_PARAMETERS={rootdirectory: /srv}", "WINNOW_POLICY_PATHS=strict",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := configs.Default()
	want.Cache.Redis.Addresses, want.Cache.MACKeyFile, want.Listen.PublicURL = []string{"a:6379", "b:6379"}, key, "https://r.example"
	want.Upstreams = map[string]configs.Upstream{"ghcr.io": {URL: "https://ghcr.io"}, "corp:5000": {URL: "http://10.0.0.1", Private: true}}
	want.DefaultUpstream, want.Tags.TTL, want.Audit.FSync = "", configs.Duration(5*time.Minute), false
	want.Admission.Concurrency, want.Store.MaxSize = 9, 1<<30
	want.Log = configs.Log{Level: "debug", Format: "console"}
	want.Store.Parameters, want.Policy.Paths = map[string]any{"rootdirectory": "/srv"}, []string{"strict"}
	if diff := cmp.Diff(&want, c); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsOfTheEnvironmentNameTheVariable(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"WINNOW_LOG_LEVL=info":                            "environment: unknown variable WINNOW_LOG_LEVL; did you mean WINNOW_LOG_LEVEL?",
		"WINNOW_CACHE_REDIS_ADDRESES=a:1":                 "environment: unknown variable WINNOW_CACHE_REDIS_ADDRESES; did you mean WINNOW_CACHE_REDIS_ADDRESSES?",
		"WINNOW_SOMETHING_ELSE_ENTIRELY=1":                "environment: unknown variable WINNOW_SOMETHING_ELSE_ENTIRELY; `winnow config print` lists the keys",
		"WINNOW_TAGS_TTL=soon":                            `WINNOW_TAGS_TTL: wants a duration such as 60s, 24h or 7d, not "soon"`,
		"WINNOW_AUDIT_FSYNC=":                             "WINNOW_AUDIT_FSYNC: is empty; give it a value or unset it",
		"WINNOW_ADMISSION_CONCURRENCY=many":               `WINNOW_ADMISSION_CONCURRENCY:1:1: wants a whole number, not "many"`,
		"WINNOW_LISTEN_REGISTRY=here":                     `WINNOW_LISTEN_REGISTRY: listen.registry: "here" is no address with a port`,
		"WINNOW_UPSTREAMS={ghcr.io: {insecure: true}}":    `WINNOW_UPSTREAMS:1:12: unknown key "insecure" in ghcr.io`,
		"WINNOW_UPSTREAMS={docker.io: {url: 'http://a'}}": "WINNOW_UPSTREAMS: upstreams.docker.io.url: http is for upstreams with private: true only",
		"WINNOW_CACHE_REDIS_ADDRESSES=a:1":                "WINNOW_CACHE_REDIS_ADDRESSES: cache.macKeyFile: is required with Redis",
	} {
		_, err := configs.Load("", []string{variable})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", variable, err, want)
		}
	}
}

func TestVariablesThatKubernetesInjectsAreNotOurs(t *testing.T) {
	t.Parallel()
	_, err := configs.Load("", []string{
		"WINNOW_SERVICE_HOST=10.0.0.1", "WINNOW_SERVICE_PORT=5000", "WINNOW_SERVICE_PORT_REGISTRY=5000", "WINNOW_PORT=tcp://10.0.0.1:5000",
		"WINNOW_PORT_5000_TCP=tcp://10.0.0.1:5000", "WINNOW_PORT_5000_TCP_ADDR=10.0.0.1", "WINNOW_CONSOLE_PORT_5001_TCP_PROTO=tcp", "WINNOW_REDIS_SERVICE_HOST=x",
		"WINNOW_TEST_CACHE=/tmp/x",
	})
	if err != nil {
		t.Error(err)
	}
}
