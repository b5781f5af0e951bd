package reconciler_test

import (
	"context"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// crookedSource finds that no revert leads to the target.
type crookedSource struct{ reconciler.Source }

func (crookedSource) Push(context.Context, []reconciler.Undo) ([]reconciler.Pushed, error) {
	return []reconciler.Pushed{{Err: &reconciler.MismatchError{
		Want: plan.Position{Phase: "gradual", Percent: 10}, Got: plan.Position{Phase: "setup"},
	}}}, nil
}

func TestARevertThatLeadsElsewhereHaltsAndTrafficStaysBack(t *testing.T) {
	g := newRig(t)
	g.wrap = func(o *reconciler.Options) { o.Source = crookedSource{o.Source} }
	g.start()
	g.travel("gradual@10", "gradual@25")
	g.sampler.Set("errors", 0.2)
	st := g.await("the halt", func(s reconciler.Status) bool { return s.Halt != nil })
	if st.Halt.Reason != decide.RevertMismatch || !strings.Contains(st.Halt.Message, "gradual@10") || !strings.Contains(st.Halt.Message, "setup") {
		t.Errorf("halted %s: %s; want both positions named", st.Halt.Reason, st.Halt.Message)
	}
	if st.Effective.String() != "gradual@10" || st.Pending == nil {
		t.Errorf("the plan is at %s, pending %+v", st.Effective, st.Pending)
	}
	if s := g.subjects()[0]; s != "shop: gradual@25" {
		t.Errorf("the newest commit is %q", s)
	}
}
