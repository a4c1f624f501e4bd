package daemons

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winnow-registry/winnow/deploy/testkit"
)

// Crane is go-containerregistry's command line tool, built from the version that this module requires.
type Crane struct{ client }

// NewCrane builds crane.
func NewCrane(t testing.TB) *Crane {
	t.Helper()
	dir := testkit.Dir(t)
	const pkg = "github.com/google/go-containerregistry/cmd/crane"
	return &Crane{client{program: testkit.Build(t, dir, pkg), env: []string{"DOCKER_CONFIG=" + dir}}}
}

// Redis is a running Redis server.
type Redis struct {
	Addr    string
	Process *testkit.Process

	dir string
}

// StartRedis runs redis-server, without persistence, until the test ends.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	testkit.Require(t, "redis-server")
	r := &Redis{Addr: testkit.FreePort(t), dir: testkit.Dir(t)}
	r.Restart(t)
	return r
}

// Restart starts the server again, empty, on the same address.
func (r *Redis) Restart(t testing.TB) {
	t.Helper()
	if r.Process != nil {
		r.Process.Kill()
	}
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Process = testkit.Start(t, "redis-server", command(t, "redis-server", "--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--dir", r.dir, "--logfile", filepath.Join(r.dir, "log")))
	client := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer client.Close()
	r.Process.Await(t, readyLimit, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return client.Ping(ctx).Err()
	})
}
