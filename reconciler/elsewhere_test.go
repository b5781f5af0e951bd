package reconciler_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// pollTold tells of each reading of the branch that has ended.
type pollTold struct {
	reconciler.Source
	ended chan plan.Revision
}

func (p pollTold) Poll(ctx context.Context) (plan.Revision, error) {
	head, err := p.Source.Poll(ctx)
	select {
	case p.ended <- head:
	default:
	}
	return head, err
}

// TestACommitElsewhereEvaluatesNoPlan, while one that changes the plan or its
// approvals, or speaks of it in a trailer, does at once.
func TestACommitElsewhereEvaluatesNoPlan(t *testing.T) {
	g := newRig(t)
	reg, ended := prometheus.NewRegistry(), make(chan plan.Revision)
	g.wrap = func(o *reconciler.Options) {
		o.Interval, o.DriftInterval, o.Registerer = time.Hour, time.Hour, reg
		o.Source = pollTold{o.Source, ended}
	}
	roles := strings.NewReplacer("  phases:\n", "  roles:\n    operations: {signers: [ann@example.com]}\n  phases:\n",
		"percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      approvals: [{role: operations}]").Replace(shopPlan)
	g.write("shop.yaml", roles)
	g.commit("who approves")
	g.start()
	g.awaitSteady("setup")
	// evaluations once no more come.
	evaluations := func() uint64 {
		t.Helper()
		for last, end := uint64(0), time.Now().Add(20*time.Second); time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
			n := observations(t, reg, "changeover_work_seconds")
			if n == last {
				return n
			}
			last = n
		}
		t.Fatal("it is evaluated on and on")
		return 0
	}
	for _, c := range []struct {
		name  string
		does  func() plan.Revision
		wakes bool
	}{
		{"another file", func() plan.Revision { g.write("README.md", "more\n"); return g.commit("docs") }, false},
		{"no file", func() plan.Revision { return g.commit("nothing") }, false},
		{"the plan", func() plan.Revision {
			g.write("shop.yaml", roles+"# more\n")
			return g.commit("a comment")
		}, true},
		{"a raise", func() plan.Revision { return g.raise("gradual@10") }, true},
		{"another approval", func() plan.Revision {
			g.approve("ann", "early.yaml", "gradual@25", plan.Revision(g.git("rev-parse", "HEAD")))
			return plan.Revision(g.git("rev-parse", "HEAD"))
		}, true},
		{"a trailer", func() plan.Revision { return g.commit("go on\n\nChangeover-Resume: shop") }, true},
		{"another plan's trailer", func() plan.Revision { return g.commit("go on\n\nChangeover-Resume: cart") }, false},
	} {
		before, head := evaluations(), c.does()
		for deadline := time.After(20 * time.Second); ; {
			select {
			case got := <-ended:
				if got != head {
					continue
				}
			case <-deadline:
				t.Fatalf("%s: the branch was not read", c.name)
			}
			break
		}
		if n := evaluations() - before; n > 0 != c.wakes {
			t.Errorf("%s: %d evaluations", c.name, n)
		}
	}
}

// observations counts those of a histogram.
func observations(t *testing.T, reg *prometheus.Registry, name string) (n uint64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}
