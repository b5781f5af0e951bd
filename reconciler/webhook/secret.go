package webhook

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

const (
	// minSecret is what a guess must not reach, maxSecret what no secret is as
	// long as; in bytes.
	minSecret = 16
	maxSecret = 4096
)

// SecretFile reads the shared secret from a file at each call: the whole text,
// without space around it. Its errors do not quote the file.
func SecretFile(path string) func() ([]byte, error) {
	return func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the webhook's secret: %w", err)
		}
		defer func() { _ = f.Close() }()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return nil, fmt.Errorf("read the webhook's secret: %w", err)
		}
		if len(b) > maxSecret {
			return nil, fmt.Errorf("read the webhook's secret: %s has more than %d bytes", path, maxSecret)
		}
		if b = bytes.TrimSpace(b); len(b) < minSecret {
			return nil, fmt.Errorf("read the webhook's secret: %s has %d bytes, and fewer than %d can be guessed; make one with: openssl rand -hex 32", path, len(b), minSecret)
		}
		return b, nil
	}
}
