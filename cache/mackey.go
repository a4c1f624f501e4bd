package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	// minKey is the length of the MAC's own output, below which a key is its weakest part (RFC 2104 section 3).
	minKey = 32
	// maxKeyFile bounds what is read of a key file, in bytes: whoever names a whole disk gets an error, not a wait.
	maxKeyFile = 4096
)

// macKey returns the key that seals entries. Without Redis, where nobody else needs it, it is made beside the embedded file.
func macKey(opts Options) ([]byte, error) {
	if opts.MACKeyFile != "" {
		return readKey(opts.MACKeyFile)
	}
	if opts.Redis.configured() {
		return nil, errors.New("opening the cache: redis needs a MAC key, so that what it holds can be trusted; make one with " +
			"(umask 077; head -c 32 /dev/urandom | base64 > winnow-mac.key), set cache.macKeyFile to that file, " +
			"and give the same file to every replica")
	}
	file := opts.Path + ".key"
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	return key, err
}

func readKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the MAC key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the MAC key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("reading the MAC key: %s can be read or written by everybody (mode %04o); run chmod o-rwx %[1]s",
			file, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the MAC key: %w", err)
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("reading the MAC key: %s is longer than %d bytes; it should hold 32 random ones", file, maxKeyFile)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading the MAC key: %s %w; make another with head -c 32 /dev/urandom | base64", file, err)
	}
	return key, nil
}

// parseKey takes base64 for what it stands for, and anything else as it is.
func parseKey(b []byte) ([]byte, error) {
	key := b
	if decoded, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(b))); err == nil {
		key = decoded
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("holds %d bytes, fewer than %d", len(key), minKey)
	}
	if bytes.Count(key, key[:1]) == len(key) {
		return nil, errors.New("holds one byte again and again, no random ones")
	}
	return key, nil
}

// makeKey writes a new key whole or not at all.
func makeKey(file string) ([]byte, error) {
	key := make([]byte, minKey)
	_, _ = rand.Read(key) // never fails (package documentation)
	f, err := os.OpenFile(file+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a MAC key: %w", err)
	}
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return nil, fmt.Errorf("making a MAC key: %w", err)
	}
	return key, nil
}
