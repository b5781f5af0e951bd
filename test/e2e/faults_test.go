package e2e

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/stack"
)

//go:embed testdata/alarm.yaml
var alarmPlan string

// TestWhatPrometheusMayDoNeverMovesTraffic: stopped, errors, nothing, NaN, two
// series, an old sample, no answer for 30 s. Each holds with its own reason,
// and none rolls back.
func TestWhatPrometheusMayDoNeverMovesTraffic(t *testing.T) {
	p, m := newProbe(t), &middle{}
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "nginx", Plan: alarmPlan, Ask: m.start(t), Targets: []string{p.addr}})
	s.StartDaemon()
	s.Declare("gradual@10")
	s.Await("steady at 10 %", await, steadyAt("gradual@10"))
	faults := []struct {
		name    string
		on, off func()
		reason  decide.Reason
		verdict gates.Verdict
		says    string
	}{
		{"no series", func() { p.set("other 1\n") }, func() {}, decide.GateNoData, gates.NoData, "no series"},
		{"NaN", func() { p.set("probe NaN\n") }, func() {}, decide.GateNoData, gates.NoData, "NaN"},
		{"two series", func() { p.set("probe{a=\"1\"} 0\nprobe{a=\"2\"} 0\n") }, func() {}, decide.GateError, gates.Error, "2 series"},
		{"an old sample", p.stale, func() {}, decide.GateNoData, gates.NoData, "older than 3s"},
		{"status 500", func() { m.mode.Store("500") }, func() { m.mode.Store("pass") }, decide.GateError, gates.Error, "500"},
		{"no answer", func() { m.mode.Store("slow") }, func() { m.mode.Store("pass") }, decide.GateError, gates.Error, ""},
		{"stopped", s.Prometheus.Stop, s.Prometheus.Restart, decide.GateError, gates.Error, ""},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			f.on()
			s.Await("the gates without data", await, func(st reconciler.Status) bool { return verdicts(st, f.verdict) })
			s.Declare("gradual@25")
			st := s.Await("held with "+string(f.reason), await, func(st reconciler.Status) bool {
				return st.Declared.String() == "gradual@25" && st.Decision.Verb == decide.Hold && st.Decision.Reason == f.reason
			})
			if !strings.Contains(st.Decision.Message, f.says) {
				t.Errorf("the message does not say %q: %s", f.says, st.Decision.Message)
			}
			t.Logf("%s: %s", st.Decision.Reason, st.Decision.Message)
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if st, err := s.Status(); err == nil && st.Effective.String() != "gradual@10" {
					t.Fatalf("the plan went to %s", st.Effective)
				}
			}
			// A person goes back whatever Prometheus does.
			begun := time.Now()
			s.Declare("setup")
			s.Await("steady at setup", await, steadyAt("setup"))
			t.Logf("a person's lower took %s", time.Since(begun).Round(time.Millisecond))
			f.off()
			p.set("probe 0\n")
			s.Declare("gradual@10")
			s.Await("steady at 10 % again", await, func(st reconciler.Status) bool {
				return steadyAt("gradual@10")(st) && verdicts(st, gates.Pass, gates.Fail)
			})
		})
	}
	if log := s.Remote("log", "--format=%B", "main"); strings.Contains(log, "Changeover-Rollback-Of") {
		t.Errorf("the daemon rolled back:\n%s", log)
	}
}

func steadyAt(stop string) func(reconciler.Status) bool {
	return func(s reconciler.Status) bool {
		return s.State == reconciler.StateSteady && s.Effective.String() == stop && s.Declared == s.Effective
	}
}

// verdicts reports whether all gates have one of these verdicts.
func verdicts(s reconciler.Status, want ...gates.Verdict) bool {
	for _, r := range s.Gates {
		ok := false
		for _, v := range want {
			ok = ok || r.Verdict == v
		}
		if !ok {
			return false
		}
	}
	return len(s.Gates) > 0
}
