package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// maxSocketPath is what the kernel takes for the path of a unix socket, less
// its closing zero.
const maxSocketPath = 107

// NewServer returns a server with the deadlines that a handler of this package
// needs. Errors of connections go to log at debug level.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		// Longer than a 30 s CPU profile.
		WriteTimeout:   2 * time.Minute,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ListenUnix listens on a socket of mode 0600 at path. A socket that is there
// already is replaced: the caller must know that nobody serves it, by the lock
// of the state directory. Closing the listener removes the socket.
func ListenUnix(path string) (net.Listener, error) {
	// The socket is made in a folder that nobody else may enter, and moved to
	// its place only when its mode is right.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	first := filepath.Join(dir, "s")
	if longest := max(len(first), len(path)); longest > maxSocketPath {
		return nil, fmt.Errorf("listen on admin socket %q: the path is too long for a unix socket by %d bytes; choose a shorter --state-dir", path, longest-maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: first, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(first, 0o600)
	if err == nil {
		err = os.Rename(first, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	return &socket{UnixListener: l, path: path}, nil
}

type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	_ = os.Remove(s.path)
	return s.UnixListener.Close()
}

func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }
