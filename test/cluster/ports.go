package cluster

import (
	"fmt"
	"syscall"
)

// soReusePort is SO_REUSEPORT of Linux, which package syscall lacks.
const soReusePort = 0xf

// port is a port of the loopback address that is held by a socket which never
// listens. A program may listen on it if it sets SO_REUSEPORT as well; nobody
// else gets it, also not while that program is stopped.
type port struct {
	number int
	socket int
}

func holdPort() (p port, err error) {
	p.socket, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, fmt.Errorf("hold a port: %w", err)
	}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	if err := syscall.SetsockoptInt(p.socket, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return port{}, fmt.Errorf("hold a port: set SO_REUSEPORT: %w", err)
	}
	if err := syscall.Bind(p.socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return port{}, fmt.Errorf("hold a port: bind: %w", err)
	}
	a, err := syscall.Getsockname(p.socket)
	if err != nil {
		return port{}, fmt.Errorf("hold a port: %w", err)
	}
	p.number = a.(*syscall.SockaddrInet4).Port
	return p, nil
}

func (p port) release() { _ = syscall.Close(p.socket) }

func (p port) address() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }
