package admin

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func serve(t *testing.T, answers map[string]string) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.RequestURI()]
		if !ok {
			http.Error(w, `{"error": "the daemon has no such plan"}`, http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body))
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return New(socket, plan.Key{Namespace: "shop", Name: "orders"})
}

func TestStatusAndLastRollbackAreRead(t *testing.T) {
	c := serve(t, map[string]string{
		"/v1/plans/shop/orders": `{"declared": {"phase": "gradual", "percent": 25}, "effective": {"phase": "gradual", "percent": 25},
			"state": "Steady", "decision": {"verb": "Hold", "reason": "Steady", "message": "m"}, "head": "abc", "holds": [{"commit": "bad"}]}`,
		"/v1/plans/shop/orders/history?n=50": `[{"verb": "Rollback", "message": "first", "to": {"phase": "setup"}},
			{"verb": "Rollback", "message": "second", "to": {"phase": "gradual", "percent": 25}, "evidence": [{"stop": {"phase": "gradual", "percent": 50}, "effect": "rollback", "name": "high-errors", "verdict": "Pass", "values": {"modernErrorRate": 0.2}}]},
			{"verb": "Rollback", "message": "pushed", "to": {"phase": ""}}, {"verb": "Advance", "to": {"phase": "sunset"}}]`,
	})
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Effective != (plan.Position{Phase: "gradual", Percent: 25}) || s.Decision.Reason != "Steady" || s.Head != "abc" || !s.Holding("bad") || s.Holding("good") {
		t.Errorf("status is %+v", s)
	}
	e, ok, err := c.LastRollback(t.Context())
	if err != nil || !ok || e.Message != "second" || len(e.Evidence) != 1 || e.Evidence[0].Values["modernErrorRate"] != 0.2 {
		t.Errorf("entry is %+v, %v, %v", e, ok, err)
	}
}

func TestADaemonThatDoesNotKnowIsAnError(t *testing.T) {
	if _, err := serve(t, nil).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "no such plan") {
		t.Errorf("error is %v", err)
	}
	if _, err := New(filepath.Join(t.TempDir(), "none"), plan.Key{}).Status(t.Context()); err == nil {
		t.Error("no socket is no error")
	}
}
