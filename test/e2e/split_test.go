package e2e

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestTrafficThatPassesTheGatewayByIsSeen: nginx does as it is told, and the
// backends' own counters say that modern gets more than that. The plan does not
// go on until it is what Git declares.
func TestTrafficThatPassesTheGatewayByIsSeen(t *testing.T) {
	counted := strings.NewReplacer("  identity: {header: X-User}\n", "  observedSplit: {legacy: toLegacy, modern: toModern}\n",
		"  signals:\n", `  signals:
    toLegacy: {query: 'sum(increase(requests_total{side="legacy"}[5s])) or vector(0)', maxAge: 5s}
    toModern: {query: 'sum(increase(requests_total{side="modern"}[5s])) or vector(0)', maxAge: 5s}
`).Replace(ordersPlan)
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "nginx", Plan: counted})
	s.StartDaemon()
	l := load.Start(t.Context(), load.Options{Addr: s.Addr, Path: "/orders", Header: "X-Nobody", Callers: 50, Rate: 200})
	t.Cleanup(func() { l.Stop() })
	s.Declare("gradual@10")
	st := s.Await("a split as declared", await, func(st reconciler.Status) bool {
		return steadyAt("gradual@10")(st) && st.Split != nil && st.Split.Requests.Total() > 200 && st.Split.Intervals == 0
	})
	t.Logf("%s", st.Split)

	direct := load.Start(t.Context(), load.Options{
		Addr: strings.TrimPrefix(s.Modern.URL, "http://"), Path: "/orders", Header: "X-Nobody", Callers: 50, Rate: 200, Unmarked: true,
	})
	t.Cleanup(func() { direct.Stop() })
	st = s.Await("a mismatch", await, func(st reconciler.Status) bool {
		return st.State == reconciler.StateDegraded && st.Observed.Split != ""
	})
	t.Logf("%s", st.Split)
	s.Declare("gradual@25")
	s.Await("held", await, func(st reconciler.Status) bool {
		return st.Declared.Percent == 25 && st.Effective.Percent == 10 && st.Decision.Reason == decide.SplitMismatch
	})
	direct.Stop()
	s.Await("steady at 25 %", await, steadyAt("gradual@25"))
	if log := s.DaemonLog(); strings.Count(log, "reason=SplitMismatch") == 0 || !strings.Contains(log, "reason=SplitMatches") {
		t.Error("the daemon's log does not tell of it")
	}
}
