package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// handoverEnv tells a bridge that it was started by one that runs, and finds its
// listeners as open files.
const handoverEnv = "CHANGEOVER_BRIDGE_HANDOVER"

// The files that a bridge gets from the one before, after stdin, stdout and
// stderr.
const (
	fdTraffic = 3 + iota
	fdAdmin
	fdReady
)

// handoverTimeout is how long a new bridge may take until it serves.
const handoverTimeout = 30 * time.Second

// listeners are where a bridge serves.
type listeners struct {
	traffic, admin net.Listener
	// ready is written to when the bridge serves, where another waits for that;
	// else nil.
	ready *os.File
}

// listen opens the listeners, or takes over those of the bridge before. Both have
// the same sockets then: what waits there for one is served by the other.
func listen(ctx context.Context, o Options) (l listeners, err error) {
	if o.inherit {
		return inherited()
	}
	var config net.ListenConfig
	if l.traffic, err = config.Listen(ctx, "tcp", o.Listen); err != nil {
		return l, fmt.Errorf("listen for traffic: %w", err)
	}
	if l.admin, err = config.Listen(ctx, "tcp", o.Admin); err != nil {
		_ = l.traffic.Close()
		return l, fmt.Errorf("listen for admin: %w", err)
	}
	return l, nil
}

func inherited() (l listeners, err error) {
	take := func(fd uintptr, name string) net.Listener {
		f := os.NewFile(fd, name)
		defer func() { _ = f.Close() }() // the listener has a descriptor of its own
		out, failed := net.FileListener(f)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("take over the listener for %s: %w", name, failed))
		}
		return out
	}
	l = listeners{traffic: take(fdTraffic, "traffic"), admin: take(fdAdmin, "admin"), ready: os.NewFile(fdReady, "ready")}
	return l, err
}

// tell says that the bridge serves: to the one before it, and to a service
// manager that listens. It is called once.
func (l listeners) tell(ctx context.Context, notifySocket string) error {
	if l.ready != nil {
		_, err := l.ready.Write([]byte{1})
		if err = errors.Join(err, l.ready.Close()); err != nil {
			return fmt.Errorf("tell the bridge before: %w", err)
		}
	}
	if notifySocket == "" {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unixgram", notifySocket)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "MAINPID=%d\nREADY=1", os.Getpid()); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// handOver starts another bridge, of the program that is on disk now, with the
// same flags, and gives it the listeners. It returns when that one serves. On
// an error there is none.
func (l listeners) handOver(ctx context.Context, program string, args []string, env []string) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, handoverTimeout)
	defer cancel()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) // it outlives this one
	cmd.Env = append(env, handoverEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("hand over: %w", err)
	}
	defer func() { _ = r.Close() }()
	files := []*os.File{nil, nil, w}
	defer func() {
		for _, f := range files {
			_ = f.Close() // the other has its own
		}
	}()
	for i, of := range []net.Listener{l.traffic, l.admin} {
		t, ok := of.(*net.TCPListener)
		if !ok {
			return 0, fmt.Errorf("hand over: a %T has no file", of)
		}
		if files[i], err = t.File(); err != nil {
			return 0, fmt.Errorf("hand over: %w", err)
		}
	}
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("hand over: start %s: %w", program, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	_ = w.Close()
	// Also when this one is told to end meanwhile: then neither is to serve.
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		_ = cmd.Process.Kill()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, fmt.Errorf("hand over: the new bridge did not serve in time and was ended: %w", errors.Join(ctx.Err(), <-exited))
		}
		return 0, fmt.Errorf("hand over: the new bridge ended before it served (its log says why): %w", errors.Join(<-exited))
	}
	return cmd.Process.Pid, nil
}
