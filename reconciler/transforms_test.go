package reconciler_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// transformed tells how the transforms of plans are.
type transformed struct{ orphaned atomic.Int64 }

func (x *transformed) TellTransforms(*plan.Plan) map[string]gates.Transform {
	if n := x.orphaned.Load(); n >= 0 {
		return map[string]gates.Transform{"intents": {Complete: true, Total: 4, Done: 4, Orphaned: n}}
	}
	panic("the records are damaged")
}

// The way on is open when a transform has left no orphans; what is not known opens
// nothing, and what breaks in answering breaks nothing else.
func TestAGateReadsHowTransformsAre(t *testing.T) {
	t.Parallel()
	const transforms = `
      transforms:
        - name: intents
          from: {apiVersion: v1, kind: ConfigMap}
          to: [{name: copy, object: '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": object.metadata.name}}'}]
`
	g := newRig(t)
	x := &transformed{}
	x.orphaned.Store(-1)
	facts := reconciler.TransformTeller(nil)
	g.wrap = func(o *reconciler.Options) { o.TransformFacts = facts }
	text := strings.Replace(shopPlan, `"signal.errors < 0.01"`, `"transforms.intents.orphaned == 0"`, 1)
	head, gradual, found := strings.Cut(text, "    - name: gradual\n")
	if !found {
		t.Fatal("the plan has no phase gradual to begin with its name")
	}
	g.write("shop.yaml", head+"    - name: gradual"+transforms+gradual)
	g.commit("the way on is open when no orphans are left")
	g.start()
	g.raise("gradual@25")
	held := func(r decide.Reason, words string) {
		t.Helper()
		g.await(string(r), func(s reconciler.Status) bool {
			return s.Effective.String() == "gradual@10" && s.Decision.Reason == r && strings.Contains(s.Decision.Message, words)
		})
	}
	held(decide.GateNoData, "the daemon was started without a cluster")
	g.stop()
	facts = x
	g.start()
	held(decide.GateNoData, "the records are damaged")
	x.orphaned.Store(3)
	held(decide.GateFailed, "orphaned=3")
	x.orphaned.Store(0)
	g.awaitSteady("gradual@25")
}
