package reconciler_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

const platformPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: platform-a}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals:
    ready: {query: ready}
    broken: {query: broken}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: live
      routes: [{to: modern}]
      gates:
        advance: [{name: ready, expr: "signal.ready > 0.5"}]
        rollback: [{name: broken, expr: "signal.broken > 0.5"}]
`

// readerPlan is the shop's plan, which goes on when platform-a is complete, and
// back when that went back.
var readerPlan = strings.NewReplacer(
	"      gates:\n        advance: [{name: low,", `      gates:
        enter: [{name: platform, expr: 'plans["platform-a"].complete'}]
        advance: [{name: low,`,
).Replace(shopPlan)

var platform = plan.Key{Namespace: "default", Name: "platform-a"}

func (g *rig) awaitNoData(detail string) {
	g.t.Helper()
	g.await("a hold: "+detail, func(s reconciler.Status) bool {
		return s.Effective.String() == "setup" && s.Decision.Reason == decide.GateNoData && strings.Contains(s.Decision.Message, detail)
	})
}

// declare edits the position in any plan's file and pushes.
func (g *rig) declare(file, stop string) {
	g.t.Helper()
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		g.t.Fatal(err)
	}
	g.git("pull", "-q", "--rebase", "origin", "main")
	b, err := plan.SetPosition([]byte(g.git("show", "HEAD:"+file)+"\n"), pos)
	if err != nil {
		g.t.Fatal(err)
	}
	g.write(file, string(b))
	g.commit(file + ": " + stop)
}

// silentGateway does not answer for the platform for a while.
type silentGateway struct {
	reconciler.Traffic
	silent *atomic.Bool
}

func (s silentGateway) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	for m.Key == platform && s.silent.Load() && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	return s.Traffic.Apply(ctx, p, m)
}

// The loop looks at a plan every ten minutes here: what opens the gate in time is
// that the other plan became complete.
func TestAGateOpensWhenAnotherPlanIsComplete(t *testing.T) {
	g := newRig(t)
	var hangs atomic.Bool
	g.wrap = func(o *reconciler.Options) {
		o.Interval, o.DriftInterval = 10*time.Minute, 10*time.Minute
		o.NGINX = silentGateway{o.NGINX, &hangs}
	}
	g.write("shop.yaml", readerPlan)
	g.commit("shop: wait for the platform")
	g.start()
	g.awaitSteady("setup")
	g.raise("gradual@10")
	g.awaitNoData(`plans["platform-a"] unknown: there is no such plan`)

	g.sampler.Set("ready", 1)
	g.sampler.Set("broken", 0)
	g.write("platform.yaml", platformPlan)
	g.commit("add the platform")
	g.await("the platform in the way", func(s reconciler.Status) bool {
		return s.Decision.Reason == decide.GateFailed && strings.Contains(s.Decision.Message, `plans["platform-a"] is Steady at setup (declared setup)`)
	})
	g.declare("platform.yaml", "live")
	g.awaitSteady("gradual@10")
	if st, _ := g.r.Status(platform); st.State != reconciler.StateComplete {
		t.Errorf("the platform is %s", st.State)
	}

	// It goes back at the moment at which that is decided, though its gateway
	// hangs, and holds up none that reads it.
	hangs.Store(true)
	defer hangs.Store(false)
	g.sampler.Set("broken", 1)
	src, err := os.ReadFile(filepath.Join(g.clone, "platform.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	g.write("platform.yaml", string(src)+"# it is looked at\n")
	g.commit("wake the loop")
	g.await("the platform's rollback in its history", func(reconciler.Status) bool {
		h, err := g.r.History(t.Context(), platform, 1)
		return err == nil && len(h) == 1 && h[0].Verb == decide.Rollback
	})
	g.declare("shop.yaml", "gradual@25")
	g.await("the platform behind", func(s reconciler.Status) bool {
		return s.Effective.String() == "gradual@10" && s.Decision.Reason == decide.GateFailed &&
			strings.Contains(s.Decision.Message, `plans["platform-a"] is RollingBack at setup (declared live)`)
	})
	if st, _ := g.r.Status(platform); st.Effective.String() != "live" {
		t.Errorf("the platform's traffic moved: %s", st.Effective)
	}
}

// unreadRecords cannot load the record of one plan for a while.
type unreadRecords struct {
	reconciler.Recorder
	key    plan.Key
	unread *atomic.Bool
}

func (r unreadRecords) Load(ctx context.Context, key plan.Key) (decide.Record, bool, error) {
	if key == r.key && r.unread.Load() {
		return decide.Record{}, false, errors.New("the record is damaged")
	}
	return r.Recorder.Load(ctx, key)
}

func TestAPlanWhoseRecordCannotBeReadIsUnknownToGates(t *testing.T) {
	g := newRig(t)
	var unread atomic.Bool
	unread.Store(true)
	g.wrap = func(o *reconciler.Options) { o.Recorder = unreadRecords{o.Recorder, platform, &unread} }
	// What would pass, were the zero value of a plan taken for how it stands.
	g.write("shop.yaml", strings.Replace(readerPlan, `plans["platform-a"].complete`, `plans["platform-a"].percent < 50`, 1))
	g.write("platform.yaml", platformPlan)
	g.sampler.Set("ready", 0)
	g.sampler.Set("broken", 0)
	g.commit("shop: beside the platform")
	g.start()
	g.awaitSteady("setup")
	g.raise("gradual@10")
	g.awaitNoData(`plans["platform-a"] unknown: it could not be read: `)
	unread.Store(false)
	g.awaitSteady("gradual@10")
}

func TestGatesReadApprovalsAndTheCommit(t *testing.T) {
	g := newRig(t)
	var unread atomic.Bool
	g.wrap = func(o *reconciler.Options) { o.Source = unreadApprovals{o.Source, &unread} }
	g.write("shop.yaml", strings.NewReplacer(
		"  phases:\n", "  roles:\n    operations: {signers: [ann@example.com]}\n  phases:\n",
		"      gates:\n        advance: [{name: low,", `      gates:
        enter:
          - {name: consent, expr: approvals.operations >= 1}
          - {name: author, expr: 'commit.author == "dana@example.com" && commit.time <= now'}
        advance: [{name: low,`).Replace(shopPlan))
	g.commit("who approves")
	g.start()
	g.awaitSteady("setup")
	raise := g.raise("gradual@10")
	g.await("none approved", func(s reconciler.Status) bool {
		return s.Decision.Reason == decide.GateFailed && strings.Contains(s.Decision.Message, "approvals.operations=0")
	})
	unread.Store(true)
	g.awaitNoData("approvals.operations unknown: read the approvals: too many files")
	unread.Store(false)
	g.approve("ann", "ok.yaml", "gradual@10", raise)
	st := g.awaitSteady("gradual@10")
	h, err := g.r.History(t.Context(), st.Key, 1)
	if err != nil || len(h) != 1 || h[0].To.String() != "gradual@10" {
		t.Errorf("the last of the history is %+v, %v", h, err)
	}
}
