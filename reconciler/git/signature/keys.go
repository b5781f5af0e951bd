package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// maxFile bounds a file of keys, in bytes.
const maxFile = 1 << 20

// Keys are those that are trusted. They are not changed and may be used by
// several goroutines.
type Keys struct {
	pgp    ring
	ssh    []allowed
	digest string
}

// Digest names the keys: equal files have equal ones.
func (k *Keys) Digest() string { return k.digest }

// Files are files of trusted keys. They may be used by several goroutines.
type Files struct {
	names []string

	mu   sync.Mutex
	last *Keys
}

// NewFiles are the files of these names. Nothing is read yet.
func NewFiles(names ...string) *Files { return &Files{names: names} }

// Keys reads the files, and parses them where they changed. A file holds
// armored OpenPGP public keys, or lines as Git's gpg.ssh.allowedSignersFile; the
// content tells which.
func (f *Files) Keys() (*Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.New()
	var all [][]byte
	for _, name := range f.names {
		data, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the trusted keys: %w", err)
		}
		fmt.Fprintf(sum, "%d\n", len(data))
		sum.Write(data)
		all = append(all, data)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if f.last != nil && f.last.digest == digest {
		return f.last, nil
	}
	k := &Keys{digest: digest}
	for i, data := range all {
		if err := k.add(f.names[i], data); err != nil {
			return nil, fmt.Errorf("read the trusted keys: %w", err)
		}
	}
	if err := k.pgp.settle(); err != nil {
		return nil, fmt.Errorf("read the trusted keys: %w", err)
	}
	if len(k.pgp.keys)+len(k.ssh) == 0 {
		return nil, fmt.Errorf("read the trusted keys: %s: nothing but revocation certificates is there; add the keys that may sign",
			strings.Join(f.names, ", "))
	}
	f.last = k
	return k, nil
}

// add parses a file. One without any key is an error: it is empty because
// something went wrong, as nobody trusts no key on purpose.
func (k *Keys) add(name string, data []byte) error {
	switch {
	case bytes.Contains(data, []byte("PRIVATE KEY-----")), bytes.Contains(data, []byte(beginPGPPrivate)):
		return fmt.Errorf("%s: it holds a private key; give the public one, and keep the private one from other machines", name)
	case bytes.Contains(data, []byte(beginPGP)):
		if err := k.pgp.add(data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	lines, err := parseAllowed(name, data)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return fmt.Errorf("%s: it holds no key; want armored OpenPGP public keys, or lines such as "+
			"`ada@example.com ssh-ed25519 AAAA...`", name)
	}
	k.ssh = append(k.ssh, lines...)
	return nil
}

// readFile reads a bounded file.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: it is larger than %d KiB", name, maxFile>>10)
	}
	return data, nil
}

// blocks are the armored blocks of a text.
func blocks(data []byte) []string {
	var out []string
	for _, part := range strings.Split(string(data), "-----BEGIN PGP ")[1:] {
		out = append(out, "-----BEGIN PGP "+part)
	}
	return out
}
