package follow

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/changeover-dev/changeover/render/bridge"
)

// readFile reads a config file, bounded. What is no regular file is refused
// before it is opened, since opening a pipe would wait for its writer.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read config: %q does not exist: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read config: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read config: %q is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	// One byte more than the parser takes, so that it says what is wrong.
	src, err := io.ReadAll(io.LimitReader(f, bridge.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return src, nil
}
