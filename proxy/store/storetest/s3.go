package storetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	module  = "github.com/versity/versitygw/cmd/versitygw"
	version = "v1.8.0"
	// startTries covers the moment between choosing a free port and the server taking it.
	startTries = 5
	// readyTimeout is generous, since test machines are shared; the server needs some 50 ms.
	readyTimeout = 20 * time.Second
	// buildTimeout covers the download and build on a slow machine.
	buildTimeout = 10 * time.Minute
)

// An S3 is a running S3 server with one empty bucket. Its objects are files below Dir.
type S3 struct {
	Endpoint  string // http://127.0.0.1:port
	Bucket    string
	Region    string
	AccessKey string
	SecretKey string
	Dir       string // of the bucket

	address string
	binary  string
	command *exec.Cmd
	ended   chan struct{}
	output  *output
}

// StartS3 starts a server that ends with the test.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	root := t.TempDir()
	s := &S3{
		Bucket: "winnow", Region: "us-east-1", AccessKey: "winnow", SecretKey: "winnow-secret",
		Dir: filepath.Join(root, "buckets", "winnow"), binary: build(t),
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	var err error
	for range startTries {
		if s.address, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
		if err = s.start(); err == nil {
			s.Endpoint = "http://" + s.address
			return s
		}
	}
	t.Fatalf("starting an S3 server: %v", err)
	return nil
}

// Parameters returns what distribution's s3 driver needs to use the bucket.
func (s *S3) Parameters() map[string]any {
	return map[string]any{
		"region": s.Region, "regionendpoint": s.Endpoint, "bucket": s.Bucket,
		"accesskey": s.AccessKey, "secretkey": s.SecretKey,
		"forcepathstyle": true, "secure": false, "rootdirectory": "/registry",
	}
}

// Stop ends the server, as if it had been killed. Its objects stay.
func (s *S3) Stop() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Kill() // it may have ended
	<-s.ended
	s.command = nil
}

// Restart starts the server again, at the same address and with the same objects.
func (s *S3) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := s.start(); err != nil {
		t.Fatalf("restarting the S3 server: %v", err)
	}
}

func (s *S3) start() error {
	s.output = &output{}
	root := filepath.Dir(s.Dir)
	metadata := filepath.Join(filepath.Dir(root), "metadata") // a folder of its own: not every filesystem has attributes
	if err := os.MkdirAll(metadata, 0o700); err != nil {
		return fmt.Errorf("starting %s: %w", s.binary, err)
	}
	s.command = exec.Command(s.binary, "--port", s.address, "--quiet", "posix", "--sidecar", metadata, root)
	s.command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		s.command = nil
		return fmt.Errorf("starting %s: %w", s.binary, err)
	}
	s.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		_ = command.Wait() // its output says why, where that matters
		close(ended)
	}(s.command, s.ended)
	return s.answers()
}

// answers waits until the server does.
func (s *S3) answers() error {
	// The server must be this one, not another that took the port: an unsigned request gets an S3 error from it.
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(readyTimeout); time.Now().Before(deadline); {
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended: %s", s.binary, s.output)
		case <-time.After(20 * time.Millisecond):
		}
		response, err := client.Get("http://" + s.address + "/" + s.Bucket + "?list-type=2")
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusForbidden && response.Header.Get("Server") == "VERSITYGW" {
			return nil
		}
	}
	s.Stop()
	return fmt.Errorf("no answer from %s: %s", s.address, s.output)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// build installs the server into the user's cache, once, also when several test binaries ask at the same time.
func build(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("finding a folder for the S3 server: %v", err)
	}
	dir := filepath.Join(cache, "winnow-tools", "versitygw-"+version)
	binary := filepath.Join(dir, "versitygw")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // gives the lock back
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "install", module+"@"+version)
	command.Dir = dir // not in our module
	command.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-trimpath", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the S3 server (go install %s@%s): %v\n%s", module, version, err, out)
	}
	return binary
}

// output keeps the first part of what the server prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	const enough = 16 << 10
	if o.text.Len() < enough {
		o.text.Write(p)
	}
	return len(p), nil
}

// String returns what was printed.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strconv.Quote(o.text.String())
}
