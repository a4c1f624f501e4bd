package cachetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout is how long a server may take to answer on a busy machine.
const startTimeout = 20 * time.Second

// Server is one redis-server process.
type Server struct {
	Addr string // host:port
	Dir  string

	t    testing.TB
	args []string
	cli  []string // what redis-cli needs besides the address
	mu   sync.Mutex
	cmd  *exec.Cmd
}

// Start runs a redis-server on a free port, with args after its own, and ends it with the test. Where redis-server is not
// installed the test is skipped, except under CI=true.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	need(t, "redis-server", "redis-cli")
	s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), t: t, args: args}
	t.Cleanup(s.Kill)
	s.Run()
	return s
}

// StartTLS is Start with TLS only, by a certificate that is its own root.
func StartTLS(t testing.TB, certFile, keyFile string) *Server {
	t.Helper()
	need(t, "redis-server", "redis-cli")
	s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), t: t, cli: []string{"--tls", "--cacert", certFile}}
	s.args = []string{"--port", "0", "--tls-port", s.Port(), "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no"}
	t.Cleanup(s.Kill)
	s.Run()
	return s
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed; apt-get install redis-server", p)
			}
			t.Skipf("%s is not installed; apt-get install redis-server", p)
		}
	}
}

// freeAddr takes a port that the kernel gives. A Cluster listens ten thousand above as well, so the port stays below.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port >= 55000 {
			continue
		}
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		if err != nil {
			continue
		}
		_ = bus.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port below 55000")
	return ""
}

// Port returns the port alone.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Run starts the process, again if it was killed, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	args := []string{"--port", s.Port(), "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--appendonly", "no",
		"--logfile", filepath.Join(s.Dir, "redis.log"), "--daemonize", "no", "--repl-diskless-sync-delay", "0"}
	args = append(args, s.args...)
	if len(s.args) > 0 && !strings.HasPrefix(s.args[0], "--") { // a configuration file of its own
		args = s.args
	}
	s.mu.Lock()
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := s.cmd.Start()
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Until("PONG", "PING")
}

// Until runs a command until its output holds want. "NOAUTH" and the like are an answer too.
func (s *Server) Until(want string, command ...string) {
	s.t.Helper()
	var out string
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if out = s.try(command...); strings.Contains(out, want) || want == "PONG" && strings.Contains(out, "NOAUTH") {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.Dir, "redis.log"))
	s.t.Fatalf("redis %s: %v gave %q, not %q; its log:\n%s", s.Addr, command, out, want, log)
}

// CLI runs a command with redis-cli and returns what it printed; an error reply fails the test.
func (s *Server) CLI(command ...string) string {
	s.t.Helper()
	out := s.try(command...)
	if strings.HasPrefix(out, "ERR") || strings.Contains(out, "Could not connect") {
		s.t.Fatalf("redis %s: %v: %s", s.Addr, command, out)
	}
	return out
}

func (s *Server) try(command ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	args := append([]string{"-h", "127.0.0.1", "-p", s.Port()}, s.cli...)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "redis-cli", append(args, command...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	// What went wrong in Redis is in the output.
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return "ERR running redis-cli: " + err.Error()
	}
	return strings.TrimSpace(out.String())
}

// Kill ends the process, as a crash would.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Hang stops the process without ending it: connections are accepted and nothing is answered.
func (s *Server) Hang() { s.signal(syscall.SIGSTOP) }

// Resume lets a hung process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Cluster starts three masters that share the slots and returns them when the Cluster serves.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	create := []string{"--cluster", "create"}
	for range 3 {
		n := Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		nodes = append(nodes, n)
		create = append(create, n.Addr)
	}
	out, err := exec.Command("redis-cli", append(create, "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("creating the cluster: %v\n%s", err, out)
	}
	for _, n := range nodes {
		n.Until("cluster_state:ok", "CLUSTER", "INFO")
	}
	return nodes
}

// Sentinel is a master with a replica and three Sentinels that watch it under the name "winnow".
type Sentinel struct {
	Master, Replica *Server
	Sentinels       []*Server
}

// MasterName is the name under which Sentinels know the master.
const MasterName = "winnow"

// StartSentinel starts the trio and waits until it would fail over.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{Master: Start(t)}
	s.Replica = Start(t, "--replicaof", "127.0.0.1", s.Master.Port())
	s.Replica.Until("master_link_status:up", "INFO", "replication")
	for range 3 {
		s.Sentinels = append(s.Sentinels, s.sentinel(t))
	}
	for _, n := range s.Sentinels {
		n.Until("num-other-sentinels\n2", "SENTINEL", "MASTER", MasterName)
		n.Until("num-slaves\n1", "SENTINEL", "MASTER", MasterName)
	}
	return s
}

func (s *Sentinel) sentinel(t testing.TB) *Server {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(dir, "sentinel.conf")
	lines := []string{
		"port " + port, "bind 127.0.0.1", "dir " + dir, "logfile " + filepath.Join(dir, "redis.log"),
		"sentinel monitor " + MasterName + " 127.0.0.1 " + s.Master.Port() + " 2",
		"sentinel down-after-milliseconds " + MasterName + " 500",
		"sentinel failover-timeout " + MasterName + " 2000",
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &Server{Addr: addr, Dir: dir, t: t, args: []string{conf, "--sentinel"}}
	t.Cleanup(n.Kill)
	n.Run()
	return n
}

// Addrs returns the addresses of servers.
func Addrs(servers []*Server) []string {
	var out []string
	for _, s := range servers {
		out = append(out, s.Addr)
	}
	return out
}

// Keys returns how many keys of ours a server holds.
func (s *Server) Keys() int {
	s.t.Helper()
	n, err := strconv.Atoi(s.CLI("DBSIZE"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
