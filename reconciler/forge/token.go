package forge

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxToken in bytes. Those of the forges have less than 300.
const maxToken = 4096

// readToken reads the token anew, so that another one counts at once. What is
// in the file is in no error.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the forge's token: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the forge's token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("read the forge's token: %q must hold one line with the token and nothing else", file)
	}
	return token, nil
}
