package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/winnow-registry/winnow/deploy/testkit"
	"github.com/winnow-registry/winnow/deploy/testkit/daemons"
	"github.com/winnow-registry/winnow/deploy/testkit/images"
	"github.com/winnow-registry/winnow/deploy/testkit/registry"
	"github.com/winnow-registry/winnow/deploy/testkit/winnow"
	"github.com/winnow-registry/winnow/proxy/store/storetest"
)

// twoReplicas starts two programs on one Redis and one S3 store, in front of one upstream.
func twoReplicas(t *testing.T) (*registry.Registry, [2]*winnow.Winnow) {
	t.Helper()
	testkit.Require(t, "redis-server")
	upstream := registry.Start(t, registry.Options{})
	redis, s3 := daemons.StartRedis(t), storetest.StartS3(t)
	var both [2]*winnow.Winnow
	for i := range both {
		both[i] = winnow.Start(t, winnow.Options{
			Upstreams: winnow.Map{hub: winnow.Upstream(t, upstream, registry.Open)},
			Config: winnow.Map{
				"tags":  longTTL["tags"],
				"store": winnow.Map{"driver": "s3", "parameters": s3.Parameters()},
				"cache": onRedis(t, redis),
			},
		})
	}
	return upstream, both
}

// macKey seals what replicas share.
const macKey = "zW2pX0q1rT5uV7yA9cE3gI6kM8oQ4sU0wY2aC5eG7iI=\n"

// onRedis is the cache of a replica: Redis, with the key that all replicas share, and an embedded store of its own.
func onRedis(t *testing.T, redis *daemons.Redis) winnow.Map {
	t.Helper()
	dir := testkit.Dir(t)
	key := filepath.Join(dir, "mac.key")
	write(t, key, macKey)
	return winnow.Map{
		"redis": winnow.Map{"addresses": []string{redis.Addr}}, "macKeyFile": key,
		"embedded": winnow.Map{"path": filepath.Join(dir, "cache.db")},
	}
}

func TestTwoReplicasAdmitAnImageOnce(t *testing.T) {
	t.Parallel()
	upstream, replicas := twoReplicas(t)
	image := images.New(t, well(20, 3<<20, 2<<20, 1<<20))
	digest := upstream.Push(t, "team/app:1", image)

	var group sync.WaitGroup
	failures := make([]error, len(replicas))
	for i, w := range replicas {
		group.Go(func() {
			failures[i] = errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 30, nil)...)
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	_, config, layers := images.Digests(t, image)
	fetches := upstream.Fetches()
	if n := fetches[digest] + fetches["1"]; n != 1 {
		t.Errorf("the manifest was fetched %d times", n)
	}
	if n := fetches[config]; n != 1 {
		t.Errorf("the config was fetched %d times", n)
	}
	for _, layer := range layers { // a layer under way at one replica may be fetched by the other, not more
		if n := fetches[layer]; n < 1 || n > len(replicas) {
			t.Errorf("layer %s was fetched %d times", layer, n)
		}
	}
	decided := 0
	for _, w := range replicas {
		decided += countLog(w, `"msg":"decided"`)
		auditIsWhole(t, w)
	}
	if decided != 1 {
		t.Errorf("the replicas decided %d times", decided)
	}

	upstream.Forget()
	for _, w := range replicas {
		if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 10, nil)...); err != nil {
			t.Error(err)
		}
	}
	if asked := upstream.Served(); len(asked) > 0 {
		t.Errorf("what one replica holds was fetched again: %+v", asked)
	}
}

func TestEitherReplicaMayDieInTheMiddleOfAPull(t *testing.T) {
	t.Parallel()
	for title, victim := range map[string]int{"the first": 0, "the second": 1} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			upstream, replicas := twoReplicas(t)
			image := images.New(t, well(30+uint64(victim), 6<<20, 4<<20))
			upstream.Push(t, "team/app:1", image)
			upstream.Shape(registry.Shape{BytesPerSecond: 3 << 20, Latency: 20 * time.Millisecond})

			dying := make(chan []error)
			go func() { dying <- pullAll(t.Context(), replicas[victim].URL, "docker.io/team/app", "1", 10, nil) }()
			awaitBlob(t, replicas[victim]) // from here on the layers take seconds
			living := make(chan []error)
			go func() {
				living <- pullAll(t.Context(), replicas[1-victim].URL, "docker.io/team/app", "1", 10, nil)
			}()
			time.Sleep(100 * time.Millisecond)
			replicas[victim].Process.Kill()

			if err := errors.Join(<-living...); err != nil {
				t.Errorf("a client of the replica that lives: %v", err)
			}
			if errs := <-dying; !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				t.Error("every client of the dead replica finished: it did not die in the middle")
			}
			replicas[victim].Serve(t)
			if err := errors.Join(pullAll(t.Context(), replicas[victim].URL, "docker.io/team/app", "1", 5, nil)...); err != nil {
				t.Errorf("after the restart: %v", err)
			}
			auditIsWhole(t, replicas[victim])
			interrupted := false
			for _, r := range replicas[victim].Audit(t) {
				interrupted = interrupted || r.Event == "pull.completed" && r.Reason == "unknown: interrupted"
			}
			if !interrupted {
				t.Error("no audit record says that the kill interrupted a pull")
			}
		})
	}
}

func TestReplicaThatDiesWhileItAdmitsIsFollowedByTheOther(t *testing.T) {
	t.Parallel()
	upstream, replicas := twoReplicas(t)
	upstream.Push(t, "team/app:1", images.New(t, well(40, 1<<20)))
	upstream.Shape(registry.Shape{Latency: 2 * time.Second}) // resolving, manifest, config: six seconds of deciding

	gone := make(chan []error)
	go func() { gone <- pullAll(t.Context(), replicas[0].URL, "docker.io/team/app", "1", 1, nil) }()
	for deadline := time.Now().Add(10 * time.Second); len(upstream.Requests()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first replica does not ask the upstream")
		}
	}
	replicas[0].Process.Kill() // it holds the lease
	upstream.Shape(registry.Shape{})
	if err := errors.Join(pullAll(t.Context(), replicas[1].URL, "docker.io/team/app", "1", 3, nil)...); err != nil {
		t.Errorf("a client of the other replica: %v", err)
	}
	<-gone
}

func TestRedisThatDiesStopsNobody(t *testing.T) {
	t.Parallel()
	testkit.Require(t, "redis-server")
	redis := daemons.StartRedis(t)
	upstream, w := oneUpstream(t, winnow.Options{Config: winnow.Map{"tags": longTTL["tags"], "cache": onRedis(t, redis)}})
	upstream.Push(t, "team/app:1", images.New(t, well(50, 1<<20)))
	upstream.Push(t, "team/app:2", images.New(t, well(51, 1<<20)))
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 5, nil)...); err != nil {
		t.Fatal(err)
	}
	redis.Process.Kill()
	for _, tag := range []string{"1", "2"} { // held, and new
		if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", tag, 5, nil)...); err != nil {
			t.Errorf("without Redis, %s: %v", tag, err)
		}
	}
	if err := w.Ready(); err != nil {
		t.Errorf("without Redis: %v", err)
	}
	redis.Restart(t)
	if err := errors.Join(pullAll(t.Context(), w.URL, "docker.io/team/app", "1", 5, nil)...); err != nil {
		t.Errorf("with Redis again, empty: %v", err)
	}
}

// awaitBlob waits until the program has decided to serve a blob to somebody.
func awaitBlob(t *testing.T, w *winnow.Winnow) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, r := range w.Audit(t) {
			if r.Event == "pull.decided" && r.Kind == "blob" {
				return
			}
		}
	}
	t.Fatal("no layer is being served")
}

// countLog counts the lines of the program's log that contain text.
func countLog(w *winnow.Winnow, text string) int {
	return strings.Count(w.Process.Output(), text)
}

// write writes a file that only we may read.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
