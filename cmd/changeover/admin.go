package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// socketName of the admin API in the state directory.
const socketName = "admin.sock"

// errNoDaemon: nobody answers on the admin socket.
var errNoDaemon = errors.New("no daemon is running")

func (a *app) addStateDir(cmd *cobra.Command) *string {
	return cmd.Flags().String("state-dir", a.defaultStateDir(), "the daemon's state directory ($CHANGEOVER_STATE_DIR)")
}

// defaultStateDir is $CHANGEOVER_STATE_DIR, else by the XDG rules. Empty where
// there is not even a home folder.
func (a *app) defaultStateDir() string {
	if dir := a.getenv("CHANGEOVER_STATE_DIR"); dir != "" {
		return dir
	}
	if dir := a.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "changeover")
	}
	if home := a.getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "changeover")
	}
	return ""
}

// adminClient asks a running daemon.
type adminClient struct {
	socket string
	http   *http.Client
}

// dialAdmin connects to the daemon of a state directory; errNoDaemon where
// none answers.
func dialAdmin(ctx context.Context, stateDir string) (*adminClient, error) {
	if stateDir == "" {
		return nil, usageError("--state-dir is not set, and there is no home folder to look in")
	}
	socket := filepath.Join(stateDir, socketName)
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, errNoDaemon
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask the daemon on %q: permission denied; run this as the daemon's user", socket)
	case err != nil:
		return nil, fmt.Errorf("ask the daemon on %q: %w", socket, err)
	}
	_ = conn.Close()
	return &adminClient{socket: socket, http: &http.Client{
		// Longer than the daemon takes for anything.
		Timeout: 110 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
		},
	}}, nil
}

// adminError is an answer of the daemon that is not a success.
type adminError struct {
	code    int
	message string
}

func (e *adminError) Error() string { return e.message }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

func (c *adminClient) do(ctx context.Context, method, path string, body, into any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask the daemon: %w", err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://changeover"+path, send)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon on %q: %w", c.socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the daemon on %q: %w", c.socket, err)
	}
	if resp.StatusCode >= 300 {
		e := web.ErrorResponse{}
		if json.Unmarshal(b, &e) != nil || e.Error == "" {
			e.Error = resp.Status
		}
		return &adminError{resp.StatusCode, e.Error}
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w; is it of another version than this command?", err)
	}
	return nil
}

func planPath(key plan.Key) string {
	return "/v1/plans/" + url.PathEscape(key.Namespace) + "/" + url.PathEscape(key.Name)
}

// Version of the daemon's program; an error where it is too old to tell.
func (c *adminClient) Version(ctx context.Context) (string, error) {
	var v web.VersionResponse
	err := c.do(ctx, http.MethodGet, "/v1/version", nil, &v)
	return v.Version, err
}

// Statuses of all plans.
func (c *adminClient) Statuses(ctx context.Context) (out []reconciler.Status, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/plans", nil, &out)
	return out, err
}

// History of one plan, oldest first.
func (c *adminClient) History(ctx context.Context, key plan.Key, n int) (out []reconciler.Entry, err error) {
	err = c.do(ctx, http.MethodGet, planPath(key)+"/history?n="+strconv.Itoa(n), nil, &out)
	return out, err
}

// Rollback asks for a rollback; to is a stop or empty.
func (c *adminClient) Rollback(ctx context.Context, key plan.Key, to, reason string) (out reconciler.Status, err error) {
	err = c.do(ctx, http.MethodPost, planPath(key)+"/rollback", web.RollbackRequest{To: to, Reason: reason}, &out)
	return out, err
}
