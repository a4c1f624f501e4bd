package configs

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	driverFilesystem = "filesystem"
	rootDirectory    = "rootdirectory" // parameter of the filesystem driver
	defaultRoot      = "./data/store"
	// maxSecret bounds a secret file: the largest are JSON keys of cloud accounts, a few KiB.
	maxSecret = 64 << 10
	// fileSuffix marks a driver parameter whose value is in a file.
	fileSuffix = "File"
)

// DriverParameters returns the parameters for the storage driver, with those that end in File replaced by
// what their files hold: secretkeyFile gives secretkey.
func (s Store) DriverParameters() (map[string]any, error) {
	out := make(map[string]any, len(s.Parameters))
	for _, k := range sortedKeys(s.Parameters) {
		v := s.Parameters[k]
		name, inFile := strings.CutSuffix(k, fileSuffix)
		file, text := v.(string)
		if !inFile || !text || name == "" {
			out[k] = v
			continue
		}
		if _, twice := s.Parameters[name]; twice {
			return nil, fmt.Errorf("store.parameters: both %s and %s are given; keep %s", name, k, k)
		}
		secret, err := readSecret(file)
		if err != nil {
			return nil, fmt.Errorf("store.parameters.%s: %w", k, err)
		}
		out[name] = secret
	}
	return out, nil
}

// readSecret returns what a file holds, without the line end that editors put there.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	if len(b) > maxSecret {
		return "", fmt.Errorf("%s holds more than %d bytes and can hardly be a secret", file, maxSecret)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// secretParameter reports whether a driver parameter is a secret by its name: distribution's drivers have secretkey,
// accountkey, credentials (with a client secret in it) and tokens.
func secretParameter(key string) bool {
	k := strings.ToLower(key)
	if strings.HasSuffix(key, fileSuffix) {
		return false
	}
	for _, word := range []string{"secret", "password", "token", "accountkey", "accesskey", "credentials"} {
		if strings.Contains(k, word) {
			return true
		}
	}
	return false
}
