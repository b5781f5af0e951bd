package call

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Secrets reads the files of a folder that plans name. The zero value has none.
type Secrets struct{ Dir string }

// maxSecret is the longest secret, in bytes.
const maxSecret = 64 << 10

// Read is the content of a file below the folder, without blanks at its ends. It
// is read anew each time. Nothing outside of the folder is read, by .. or by links.
// Errors hold nothing of the content.
func (s Secrets) Read(name string) (string, error) {
	if s.Dir == "" {
		return "", fmt.Errorf("read secret %q: start the daemon with --secrets-dir DIR, in which the file is", name)
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return "", fmt.Errorf("read secret %q: open --secrets-dir: %w", name, err)
	}
	defer func() { _ = root.Close() }() // it was only read
	f, err := root.Open(name)
	if err != nil {
		return "", fmt.Errorf("read secret %q below --secrets-dir: %w", name, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read secret %q below --secrets-dir: %w", name, err)
	}
	text := strings.TrimSpace(string(b))
	switch {
	case len(b) > maxSecret:
		return "", fmt.Errorf("read secret %q: it is larger than %d bytes", name, maxSecret)
	case text == "":
		return "", fmt.Errorf("read secret %q: it is empty", name)
	}
	return text, nil
}

// token is a bearer token.
func (s Secrets) token(name string) (string, error) {
	t, err := s.Read(name)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("read secret: a bearer token is one word of printable ASCII")
	}
	return t, nil
}
