package reconciler_test

import (
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
)

// BenchmarkNoOpReconcile is one evaluation of a plan that is steady: gather,
// sample, evaluate, decide, report. Nothing is written.
func BenchmarkNoOpReconcile(b *testing.B) {
	g := newRig(b)
	g.open()
	ctx := b.Context()
	g.r.Prepare(ctx)
	for range 5 {
		if err := g.r.Step(ctx, shop); err != "" {
			b.Fatal(err)
		}
	}
	if st, _ := g.r.Status(shop); st.State != reconciler.StateSteady {
		b.Fatalf("the plan is %s", st.State)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.r.Step(ctx, shop); err != "" {
			b.Fatal(err)
		}
	}
}

// BenchmarkNoOpPoll is one reading of a branch that did not change: one
// ls-remote of a local repository, which starts a git process.
func BenchmarkNoOpPoll(b *testing.B) {
	g := newRig(b)
	g.open()
	ctx := b.Context()
	g.r.Prepare(ctx)
	b.ReportAllocs()
	for b.Loop() {
		g.r.Poll(ctx)
	}
}
