package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// killer ends the daemon, as SIGKILL would, at one of the points before and
// after each of its effects: from then on nothing that it does has any.
type killer struct {
	mu    sync.Mutex
	at, n int
	dead  chan struct{} // closed by the kill
	what  string

	reached map[string]time.Time // when a stop was first brought into force
}

var errKilled = errors.New("the daemon is dead")

func newKiller(at int) *killer {
	return &killer{at: at, dead: make(chan struct{}), reached: map[string]time.Time{}}
}

// point counts one point, and reports whether the daemon is dead there.
func (k *killer) point(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.what != "" {
		return true
	}
	if k.n++; k.n == k.at {
		k.what = what
		close(k.dead)
	}
	return k.what != ""
}

// do does an effect unless the daemon is dead before it.
func (k *killer) do(what string, effect func() error) error {
	if k.point("before " + what) {
		return errKilled
	}
	err := effect()
	if k.point("after " + what) {
		return errKilled
	}
	return err
}

type killedRecorder struct {
	reconciler.Recorder
	k *killer
}

func (r killedRecorder) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	return r.k.do("saving the record", func() error { return r.Recorder.Save(ctx, key, rec) })
}

func (r killedRecorder) Append(ctx context.Context, key plan.Key, e reconciler.Entry) error {
	return r.k.do("adding to the history", func() error { return r.Recorder.Append(ctx, key, e) })
}

type killedTraffic struct {
	reconciler.Traffic
	k *killer
}

func (t killedTraffic) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	return t.k.do("moving the traffic to "+m.Stop.String(), func() error {
		err := t.Traffic.Apply(ctx, p, m)
		t.k.mu.Lock()
		defer t.k.mu.Unlock()
		if _, ok := t.k.reached[m.Stop.String()]; !ok && err == nil {
			t.k.reached[m.Stop.String()] = time.Now()
		}
		return err
	})
}

type killedSource struct {
	reconciler.Source
	k *killer
}

func (s killedSource) Push(ctx context.Context, us []reconciler.Undo) (p []reconciler.Pushed, err error) {
	err = s.k.do("pushing the revert", func() error {
		p, err = s.Source.Push(ctx, us)
		return err
	})
	return p, err
}

// served is a sampler that sees errors while the gateway serves one stop.
type served struct {
	g    *rig
	stop string
}

func (s served) Sample(ctx context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	v := 0.0
	if m := s.g.traffic.Served(shop); m != nil && m.Stop.String() == s.stop {
		v = 0.2
	}
	s.g.sampler.Set("errors", v)
	return s.g.sampler.Sample(ctx, needs, now)
}

const killBake = 300 * time.Millisecond

// killedOnce plays a raise over two stops that breaches at the second, kills
// the daemon at one point, starts it again, and checks where that ends. It
// returns how many points there were where none was the one.
func killedOnce(t *testing.T, at int, loseRecord bool) int {
	g, k := newRig(t), newKiller(at)
	g.write("shop.yaml", strings.Replace(shopPlan, "percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      bake: "+killBake.String(), 1))
	g.commit("bake")
	g.wrap = func(o *reconciler.Options) {
		o.Source, o.NGINX, o.Recorder = killedSource{o.Source, k}, killedTraffic{o.NGINX, k}, killedRecorder{o.Recorder, k}
		o.Sampler = served{g, "gradual@25"}
	}
	g.raise("gradual@25")
	g.start()
	settled := func(s reconciler.Status) bool {
		return s.State == reconciler.StateSteady && s.Effective.String() == "setup" && s.Declared == s.Effective && len(s.Holds) == 1
	}
	for ended := false; !ended; {
		select {
		case <-k.dead:
			g.stop()
			if loseRecord {
				if err := os.RemoveAll(g.state); err != nil {
					t.Fatal(err)
				}
			}
			reached := k.reached
			k = newKiller(0)
			k.reached = reached
			g.start()
			g.await("the end after a kill", settled)
			ended = true
		case <-time.After(5 * time.Millisecond):
			s, _ := g.r.Status(shop)
			ended = settled(s)
		}
	}
	time.Sleep(100 * time.Millisecond) // for a second revert, should there be one
	want := []string{`Revert "shop: gradual@25"`, "shop: gradual@25", "bake", "add the plan", "start"}
	if got := g.subjects(); !slices.Equal(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if log := g.traffic.Log(); !slices.Equal(log, []string{"setup", "gradual@10", "gradual@25", "setup"}) {
		t.Errorf("the gateway went %v", log)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	bake := killBake
	if loseRecord {
		// What the data plane then tells is when the move was decided on.
		bake -= 50 * time.Millisecond
	}
	if d := k.reached["gradual@25"].Sub(k.reached["gradual@10"]); d < bake {
		t.Errorf("gradual@10 was left after %s, its bake is %s", d, bake)
	}
	return k.n
}

func TestAKillAnywhereChangesNothing(t *testing.T) {
	points := killedOnce(t, 0, false)
	if points < 20 {
		t.Fatalf("there are %d points at which to kill", points)
	}
	run := func(at int, lose bool) {
		t.Run(fmt.Sprintf("lost=%t/%d", lose, at), func(t *testing.T) {
			t.Parallel()
			killedOnce(t, at, lose)
		})
	}
	for at := 1; at <= points; at++ {
		run(at, false)
		if at%3 == 0 {
			run(at, true)
		}
	}
}
