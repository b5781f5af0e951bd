package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Status of the plan.
type Status struct {
	Declared  plan.Position `json:"declared"`
	Effective plan.Position `json:"effective"`
	State     string        `json:"state"`
	Decision  struct {
		Verb    string `json:"verb"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"decision"`
	Head  plan.Revision `json:"head"`
	Holds []struct {
		Commit plan.Revision `json:"commit"`
	} `json:"holds"`
	Error string `json:"error"`
}

// Holding reports whether a commit is held.
func (s Status) Holding(rev plan.Revision) bool {
	for _, h := range s.Holds {
		if h.Commit == rev {
			return true
		}
	}
	return false
}

// Entry of the history.
type Entry struct {
	At       time.Time     `json:"at"`
	Verb     string        `json:"verb"`
	Reason   string        `json:"reason"`
	From     plan.Position `json:"from"`
	To       plan.Position `json:"to"`
	Message  string        `json:"message"`
	Evidence []Gate        `json:"evidence"`
}

// Gate is one gate's result.
type Gate struct {
	Stop    plan.Position      `json:"stop"`
	Effect  plan.Effect        `json:"effect"`
	Name    string             `json:"name"`
	Verdict string             `json:"verdict"`
	Expr    string             `json:"expr"`
	Values  map[string]float64 `json:"values"`
}

// Client asks about one plan.
type Client struct {
	key  plan.Key
	http *http.Client
}

// New asks on the socket about the plan. Nothing is dialled yet.
func New(socket string, key plan.Key) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{key: key, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial}}}
}

// Status asks what the daemon is doing with the plan.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, "", &s)
	return s, err
}

// LastRollback is the newest rollback in the history that moved between stops,
// with its evidence; ok is false where there is none. (The push of its revert
// is an entry of its own, without stops.)
func (c *Client) LastRollback(ctx context.Context) (e Entry, ok bool, err error) {
	var history []Entry
	if err := c.get(ctx, "/history?n=50", &history); err != nil {
		return Entry{}, false, err
	}
	for _, e := range slices.Backward(history) {
		if e.Verb == "Rollback" && !e.To.IsZero() {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	url := fmt.Sprintf("http://daemon/v1/plans/%s/%s%s", c.key.Namespace, c.key.Name, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the daemon: %s: %.200s", resp.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
