package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// fenceSize is the length of the fence before each value in Redis, big endian, so that a script can compare it.
const fenceSize = 8

// The scripts touch one key each and are sent whole (EVAL): a server that was restarted, failed over or flushed knows no
// script by its hash, and they are shorter than a value.
const (
	// writeScript: KEYS value; ARGV fenced value, ttl in ms, channel, notice, replace. What is there under a newer fence stays;
	// what is of another type was not written by us and goes.
	writeScript = `
local old = redis.pcall('GETRANGE', KEYS[1], 0, 7)
if ARGV[5] == '0' and type(old) == 'string' and #old == 8
  and struct.unpack('>I8', old) > struct.unpack('>I8', ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1`

	// addScript: KEYS set; ARGV member, value, ttl in ms, channel, notice, most members.
	addScript = `
local most = tonumber(ARGV[6])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[1]) end
local n = redis.call('HLEN', KEYS[1])
if n > most then redis.call('UNLINK', KEYS[1])
elseif n == most and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('HDEL', KEYS[1], redis.call('HKEYS', KEYS[1])[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1`

	// membersScript: KEYS set; ARGV most members, longest value. It leaves out what is too large to be ours.
	membersScript = `
local out = {}
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return out end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return out end
local most = tonumber(ARGV[2])
for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do
  if #f <= 1024 and redis.call('HSTRLEN', KEYS[1], f) <= most then
    out[#out+1] = f
    out[#out+1] = redis.call('HGET', KEYS[1], f)
  end
end
return out`
)

// maxMember bounds one member of a set, in bytes: a sealed grant is some hundred bytes. A set of such members stays below
// what Get would load for a value.
const maxMember = MaxValue / MaxMembers

// Get reads at most MaxValue bytes, whatever is there.
func (r *RedisBackend) Get(ctx context.Context, key string) (Entry, error) {
	s, err := r.client.GetRange(ctx, key, 0, fenceSize+MaxValue).Result()
	if err != nil {
		if wrongType(err) {
			return Entry{}, ErrMiss
		}
		return Entry{}, fmt.Errorf("reading %s: %w", key, err)
	}
	if len(s) <= fenceSize || len(s) > fenceSize+MaxValue {
		return Entry{}, ErrMiss
	}
	b := []byte(s)
	return Entry{Value: b[fenceSize:], Fence: binary.BigEndian.Uint64(b)}, nil
}

// Members reads at most MaxMembers of maxMember bytes, whatever is there.
func (r *RedisBackend) Members(ctx context.Context, key string) (map[string][]byte, error) {
	pairs, err := r.client.Eval(ctx, membersScript, []string{key}, MaxMembers, maxMember).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	if len(pairs) < 2 {
		return nil, ErrMiss
	}
	members := make(map[string][]byte, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		members[pairs[i]] = []byte(pairs[i+1])
	}
	return members, nil
}

// Write stores all of writes in one pipeline.
func (r *RedisBackend) Write(ctx context.Context, writes ...Write) (refused int, err error) {
	replies := make([]*redis.Cmd, len(writes))
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, w := range writes {
			replies[i] = evalWrite(ctx, p, w)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("writing %d entries: %w", len(writes), err)
	}
	for _, reply := range replies {
		if n, _ := reply.Int(); n == 0 {
			refused++
		}
	}
	return refused, nil
}

func evalWrite(ctx context.Context, p redis.Pipeliner, w Write) *redis.Cmd {
	keys, ttl := []string{w.Key}, max(w.TTL, time.Millisecond).Milliseconds()
	if w.Member != "" {
		return p.Eval(ctx, addScript, keys, w.Member, w.Value, ttl, channel, w.Notice, MaxMembers)
	}
	fenced := binary.BigEndian.AppendUint64(make([]byte, 0, fenceSize+len(w.Value)), w.Fence)
	return p.Eval(ctx, writeScript, keys, append(fenced, w.Value...), ttl, channel, w.Notice, w.Replace)
}

// wrongType reports whether err says that the key holds another type than ours: a miss, no fault.
func wrongType(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "WRONGTYPE")
}
