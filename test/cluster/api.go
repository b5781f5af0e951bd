package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// refusal is an answer of the API server other than 2xx.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.code, r.message) }

// do asks the API server as administrator and decodes the answer into out
// where that is not nil.
func (c *Cluster) do(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		var status struct{ Message string }
		if json.Unmarshal(text, &status) != nil || status.Message == "" {
			status.Message = string(text)
		}
		return fmt.Errorf("%s %s: %w", method, path, &refusal{resp.StatusCode, status.Message})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// wait asks until the answer is nil; the context bounds it. It gives up early
// where a program has ended.
func (c *Cluster) wait(ctx context.Context, what string, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ended := c.Ended(); ended != nil {
			return fmt.Errorf("wait for %s: %w", what, ended)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; the last answer: %w", what, context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) waitAPIServer(ctx context.Context) error {
	return c.wait(ctx, "the API server", func(ctx context.Context) error { return c.do(ctx, http.MethodGet, "/readyz", "", nil, nil) })
}

// condition is what objects of every kind have in their status.
type condition struct{ Type, Status string }

func holds(conditions []condition, kind string) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == "True"
		}
	}
	return false
}

// node is the only one; kwok plays its kubelet.
const node = `{"apiVersion": "v1", "kind": "Node", "metadata": {
  "name": "node-1",
  "annotations": {"kwok.x-k8s.io/node": "fake"},
  "labels": {"kubernetes.io/hostname": "node-1", "kubernetes.io/os": "linux"}
}}`

// addNode creates the node and waits until pods may be put there, which needs
// kwok and the controller manager at work.
func (c *Cluster) addNode(ctx context.Context) error {
	if err := c.do(ctx, http.MethodPost, "/api/v1/nodes", "application/json", []byte(node), nil); err != nil {
		return fmt.Errorf("create the node: %w", err)
	}
	return c.wait(ctx, "the node", func(ctx context.Context) error {
		var n struct {
			Spec   struct{ Taints []struct{ Key string } }
			Status struct{ Conditions []condition }
		}
		if err := c.do(ctx, http.MethodGet, "/api/v1/nodes/node-1", "", nil, &n); err != nil {
			return err
		}
		if !holds(n.Status.Conditions, "Ready") {
			return errors.New("it is not ready: kwok has not seen it")
		}
		if len(n.Spec.Taints) > 0 {
			return fmt.Errorf("it is ready and still has taint %q: the controller manager has not seen it", n.Spec.Taints[0].Key)
		}
		return nil
	})
}
