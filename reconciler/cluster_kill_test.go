package reconciler_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/fakes"
)

// killedCluster is a cluster that a dead daemon does not reach any more.
type killedCluster struct {
	reconciler.Cluster
	k *killer
}

func (c killedCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	return c.k.do("expanding the cluster", func() error { return c.Cluster.Expand(ctx, d) })
}

func (c killedCluster) Contract(ctx context.Context, d reconciler.Desired) error {
	return c.k.do("contracting the cluster", func() error { return c.Cluster.Contract(ctx, d) })
}

func (c killedCluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	return c.k.do("marking the inventory", func() error { return c.Cluster.SetMark(ctx, d) })
}

// sick is a sampler that sees errors while a stop is in force: while the
// gateway serves it, or in a plan that has none while the cluster is at it.
type sick struct {
	g       *clusterRig
	stop    string
	gateway bool
}

func (s sick) Sample(ctx context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	at, v := s.g.position(), 0.0
	if s.gateway {
		at = s.g.served()
	}
	if at == s.stop {
		v = 0.2
	}
	s.g.sampler.Set("errors", v)
	return s.g.sampler.Sample(ctx, needs, now)
}

// position is the stop for which the live objects are.
func (g *clusterRig) position() string {
	data, _ := g.c.Live(config("position"))["data"].(map[string]any)
	stop, _ := data["stop"].(string)
	return stop
}

const clusterBake = 30 * time.Minute

// clusterStory is a raise over a stop that bakes to one that breaches.
type clusterStory struct {
	*clusterRig
	k       *killer
	gateway bool
	// records is the record of a story that does not write it to a directory.
	records *fakes.Recorder
	// entered and left are when the first stop was first in force, and when the
	// next was first begun.
	entered, left time.Time
}

func newClusterStory(t *testing.T, src string) *clusterStory {
	src = strings.Replace(src, "k/legacy3.old}\n", "k/legacy3.old}\n      bake: 30m\n", 1)
	a, b := strings.Index(src, "    - name: gradual"), strings.Index(src, "    - name: sunset")
	g := newMemoryRig(t, src[:a]+src[b:])
	s := &clusterStory{clusterRig: g, gateway: strings.Contains(src, "gateway:")}
	g.wrap = func(o *reconciler.Options) {
		g.wire(o)
		o.Sampler = sick{g, "sunset", s.gateway}
		if s.records != nil {
			o.Recorder = s.records
		}
		o.Source, o.Recorder = killedSource{o.Source, s.k}, killedRecorder{clockedRecorder{o.Recorder, s}, s.k}
		o.NGINX, o.Cluster = killedTraffic{o.NGINX, s.k}, killedCluster{clockedCluster{o.Cluster, s}, s.k}
	}
	g.moving = func(reconciler.Mark) { s.enters() }
	g.branch.declare(plan.Position{Phase: "sunset"})
	return s
}

func (s *clusterStory) enters() {
	if s.entered.IsZero() {
		s.entered = s.now()
	}
}

// clockedCluster notes when the first stop was left.
type clockedCluster struct {
	reconciler.Cluster
	s *clusterStory
}

func (c clockedCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	if d.Mark.Stop.Phase == "sunset" && c.s.left.IsZero() {
		c.s.left = c.s.now()
	}
	return c.Cluster.Expand(ctx, d)
}

// clockedRecorder notes when a stop was first written down as applied.
type clockedRecorder struct {
	reconciler.Recorder
	s *clusterStory
}

func (r clockedRecorder) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	if rec.Applied != nil {
		r.s.enters()
	}
	return r.Recorder.Save(ctx, key, rec)
}

// play kills the daemon at a point, starts it again, and returns how many
// points there were.
func (s *clusterStory) play(at int, lose bool) int {
	t := s.t
	s.k = newKiller(at)
	s.ready()
	killed := false
	for i := 0; ; i++ {
		st := s.work(1, 5*time.Minute)
		select {
		case <-s.k.dead:
			if killed {
				break
			}
			killed = true
			what := s.k.what
			s.stop()
			if lose {
				if err := os.RemoveAll(s.state); err != nil {
					t.Fatal(err)
				}
				if s.records != nil {
					s.records = &fakes.Recorder{}
				}
			}
			s.k = newKiller(0)
			s.ready()
			t.Logf("killed %s", what)
			continue
		default:
		}
		if st.State == reconciler.StateSteady && st.Effective.Phase == "setup" && st.Declared == st.Effective && len(s.branch.reverts()) > 0 {
			break
		}
		if i == 300 {
			t.Fatalf("it does not come to an end; the status is %s at %s, %s %s: %s; error %q; pending %+v", st.State, st.Effective,
				st.Decision.Verb, st.Decision.Reason, st.Decision.Message, st.Error, st.Pending)
		}
	}
	st := s.work(5, time.Minute)
	if n := len(s.branch.reverts()); n != 1 {
		t.Errorf("there are %d reverts", n)
	}
	if len(st.Holds) != 1 && !(lose && !s.gateway) {
		t.Errorf("holds are %+v", st.Holds)
	}
	if st.Effective.Phase != "setup" || st.Declared != st.Effective || st.Observed.Cluster.Ill() || s.position() != "setup" {
		t.Errorf("the plan is at %s, Git declares %s, the cluster is at %s: %+v", st.Effective, st.Declared, s.position(), st.Observed.Cluster)
	}
	if legacy, modern := s.c.replicas("legacy"), s.c.replicas("modern"); legacy != 3 || modern != -1 || !s.c.has("old") {
		t.Errorf("legacy has %d replicas, modern %d", legacy, modern)
	}
	if log := s.traffic.Log(); s.gateway && !slices.Equal(log, []string{"setup", "sunset", "setup"}) {
		t.Errorf("the gateway went %v", log)
	}
	if m := s.c.mark(); m.Stop.Phase != "setup" || !m.Since.Equal(st.Since) {
		t.Errorf("the inventory's mark is %+v", m)
	}
	if d := s.left.Sub(s.entered); d < clusterBake-time.Second {
		t.Errorf("the first stop was left after %s, its bake is %s", d, clusterBake)
	}
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	return s.k.n
}

func TestAKillAnywhereLeavesClusterAndTrafficWithTheRecord(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{"gateway": clusterPlan, "cluster alone": clusterOnly} {
		points := newClusterStory(t, src).play(0, false)
		if points < 30 {
			t.Fatalf("there are %d points at which to kill", points)
		}
		for at := 1; at <= points; at++ {
			// After an effect the world is as before the next one.
			lose := at%2 == 0
			t.Run(fmt.Sprintf("%s/lost=%t/%d", name, lose, at), func(t *testing.T) {
				t.Parallel()
				s := newClusterStory(t, src)
				if at%5 != 0 {
					s.records = &fakes.Recorder{} // the others write to a directory
				}
				s.play(at, lose)
			})
		}
	}
}
