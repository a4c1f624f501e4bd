package cache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"
)

const (
	// prefix names everything of ours, so that an ACL can be written for it: ~winnow:* &winnow:*.
	prefix = "winnow:"
	// channel carries the notices.
	channel = prefix + "notices"

	// connectTimeout bounds a dial. Dials go on when the call that wanted them gave up (see callTimeout), so this may be
	// long enough for TLS over a slow link.
	connectTimeout = time.Second
	// poolSize bounds the connections to one server: sixteen calls of under a millisecond at a time are more than two
	// cores can ask for.
	poolSize = 16
	// idleConns are kept open, so that a call seldom pays for a dial.
	idleConns = 2
)

// RedisBackend keeps values in Redis: a single server, the master that Sentinels name, or a Cluster. Each call touches keys
// of one slot only, is one command, and is never retried.
//
// It needs of an ACL user: +get +set +getrange +unlink +type +pttl +pexpire +hset +hget +hlen +hkeys +hexists +hdel
// +hstrlen +eval +time +ping +publish +subscribe, and in a Cluster +cluster|slots +cluster|shards +readonly.
type RedisBackend struct {
	client redis.UniversalClient
}

// OpenRedis returns the backend for opts without connecting yet.
func OpenRedis(opts Redis, log *zap.Logger) (*RedisBackend, error) {
	if !opts.configured() {
		return nil, errors.New("opening redis: no address is given")
	}
	if opts.PasswordFile != "" {
		if _, err := password(opts.PasswordFile); err != nil {
			return nil, err
		}
	}
	// The library has one logger per process and writes to stderr by default. Its lines are about single connections:
	// what they mean is logged here once, as a change of state.
	redis.SetLogger(redisLog{log.Named("redis")})
	return &RedisBackend{client: redis.NewUniversalClient(universal(opts))}, nil
}

func universal(opts Redis) *redis.UniversalOptions {
	u := &redis.UniversalOptions{
		Addrs:      opts.Addresses,
		MasterName: opts.SentinelMaster,
		// RESP2, no name and no library version: no HELLO and no CLIENT, hence fewer rights, and nothing here is pushed but notices.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// The context of a call is its only limit, and a call is tried once: its caller has another place to ask.
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           connectTimeout,
		ReadTimeout:           connectTimeout,
		WriteTimeout:          connectTimeout,
		PoolSize:              poolSize,
		MaxActiveConns:        poolSize,
		PoolTimeout:           callTimeout,
		MinIdleConns:          idleConns,
	}
	if opts.Username != "" || opts.PasswordFile != "" {
		u.CredentialsProviderContext = func(context.Context) (string, string, error) {
			if opts.PasswordFile == "" {
				return opts.Username, "", nil
			}
			p, err := password(opts.PasswordFile)
			return opts.Username, p, err
		}
	}
	if opts.TLS {
		u.TLSConfig = opts.TLSConfig
		if u.TLSConfig == nil {
			u.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	return u
}

func password(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the password of redis: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// Ping reports whether the server takes writes: for all we know of it, in a Cluster each master answers as well.
func (r *RedisBackend) Ping(ctx context.Context, probe string) error {
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() })
		if err != nil {
			return err
		}
	}
	// A replica, a full server and a wrong user answer PING as well, but not this.
	return r.client.Set(ctx, prefix+"probe:"+probe, "1", connectTimeout).Err()
}

// Close ends all connections.
func (r *RedisBackend) Close() error { return r.client.Close() }

type redisLog struct{ log *zap.Logger }

// Printf is what the library calls.
func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	if l.log.Core().Enabled(zap.DebugLevel) {
		l.log.Debug(fmt.Sprintf(format, v...))
	}
}
