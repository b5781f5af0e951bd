package sim

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/render"
)

const daemonName = "Changeover"

// daemon is one life of the daemon, until it is killed.
type daemon struct {
	w    *World
	r    *reconciler.Reconciler
	rec  *record.Dir
	src  *git.Repository
	dead bool
	// read is the branch's head as the host last told it.
	read plumbing.Hash
	// seen are the samples of this step, by query.
	seen map[string]gates.Point
	// hold keeps pushes until the step has ended: two things at once would make
	// the history depend on the machine.
	hold chan struct{}
	// saved is the record as last saved, or found.
	saved decide.Record
	// faulted: a fault hit the gateway, or a save, since the move under way began.
	faulted bool
}

var errKilled = errors.New("the daemon is dead")

// start begins a life; nil where Git cannot be read and there is no copy.
func (w *World) start() {
	d := &daemon{w: w}
	var err error
	d.rec, err = record.Open(w.state)
	must(err)
	d.src, err = git.Open(context.Background(), git.Options{
		URL: "file:///sim", Branch: "main", Transport: newLink(d), Now: w.clock, Timeout: time.Minute,
		Author: git.Author{Name: daemonName, Email: "changeover@localhost"},
	})
	if err != nil {
		must(d.rec.Close())
		return
	}
	d.r, err = reconciler.New(reconciler.Options{
		Source: simSource{d.src, d}, Check: gates.Check, Bridge: simTraffic{w.gateway, d}, Cluster: simCluster{w.cluster, d},
		Manifests: d.manifests, Sampler: d, Recorder: simRecorder{d.rec, d}, Notifier: silent{}, Now: w.clock,
		Log: slog.New(slog.DiscardHandler), Interval: time.Minute, DriftInterval: time.Minute,
		Limits: decide.Limits{GitMaxAge: gitMaxAge, MaxPerDay: 3},
	})
	must(err)
	if rec, ok, err := d.rec.Load(context.Background(), shop); ok && err == nil {
		d.saved = rec
	}
	w.d = d
	d.r.Prepare(context.Background())
}

// kill ends a life as SIGKILL does: what was begun has no effect any more.
func (d *daemon) kill() {
	d.dead = true
	d.r.Close()
	_ = d.src.Close()
	must(d.rec.Close())
	if d.w.d == d {
		d.w.d = nil
	}
}

// step works the plan once.
func (d *daemon) step() {
	d.seen, d.hold = map[string]gates.Point{}, make(chan struct{})
	d.r.Step(context.Background(), shop)
	close(d.hold)
	d.r.WaitForPushes()
}

// effect does an effect, unless a fault hits it.
func (d *daemon) effect(what string, do func() error) error {
	if d.dead {
		return errKilled
	}
	if err := d.w.boundary(d, "before "+what); err != nil {
		return err
	}
	err := do()
	if hit := d.w.boundary(d, "after "+what); hit != nil {
		return hit // the answer is lost
	}
	return err
}

type silent struct{}

func (silent) Notify(context.Context, plan.Key, reconciler.Entry, bool) {}

func (d *daemon) manifests(_ context.Context, v plan.Version, stop plan.Position) ([]render.Object, error) {
	if d.w.down[partRender] {
		return nil, errors.New("accumulate resources: no such base")
	}
	return manifests(v.Plan, stop), nil
}

// manifests are what a stop wants in the cluster: modern grows, and legacy goes in
// the last phase.
func manifests(p *plan.Plan, stop plan.Position) []render.Object {
	replicas := map[string]int64{"legacy": 3, "modern": 2}
	switch stop.Phase {
	case "setup":
		delete(replicas, "modern")
	case "sunset":
		replicas["legacy"], replicas["modern"] = 0, 4
	}
	var out []render.Object
	for _, name := range slices.Sorted(maps.Keys(replicas)) {
		out = append(out, render.Object{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name, "namespace": "default"},
			"spec": map[string]any{"replicas": replicas[name]},
		})
	}
	return out
}

// Sample implements reconciler.Sampler by what the world's Prometheus has.
func (d *daemon) Sample(_ context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	out := make(map[gates.Need]gates.Sample, len(needs))
	for _, n := range needs {
		s := gates.Sample{Last: gates.Point{Time: now, Unknown: "no series"}}
		switch m := d.w.metric; {
		case d.w.down[partPrometheus]:
			s.Err = errUnreachable
		case m == metricNone:
		case m == metricNaN:
			s.Last = gates.Point{Time: now, Value: math.NaN()}
		case m == metricStale:
			s.Last.Unknown = "newest sample is older than 5m"
		default:
			s.Last = gates.Point{Time: now, Value: float64(m)}
		}
		if s.Err == nil {
			d.seen[n.Query] = s.Last
		}
		if n.Window > 0 {
			for t := now.Add(-n.Window + n.Step); !t.After(now); t = t.Add(n.Step) {
				p := s.Last
				p.Time = t
				s.Points = append(s.Points, p)
			}
		}
		out[n] = s
	}
	return out
}

// known is the value of the signal that this step saw; ok is false where it is not
// evidence.
func (d *daemon) known() (v float64, ok bool) {
	p, ok := d.seen["errors"]
	return p.Value, ok && p.Unknown == "" && !math.IsNaN(p.Value)
}

type simSource struct {
	reconciler.Source
	d *daemon
}

func (s simSource) Push(ctx context.Context, us []reconciler.Undo) ([]reconciler.Pushed, error) {
	<-s.d.hold
	if s.d.dead {
		return nil, errKilled
	}
	for _, u := range us {
		s.d.w.pushes(s.d, u)
	}
	return s.Source.Push(ctx, us)
}

type simRecorder struct {
	reconciler.Recorder
	d *daemon
}

func (r simRecorder) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	r.d.w.decides(r.d, rec)
	err := r.d.effect("save", func() error {
		if r.d.w.down[partDisk] {
			return errors.New("write record.json: no space left on device")
		}
		return r.Recorder.Save(ctx, key, rec)
	})
	if err != nil {
		r.d.faulted = true
	}
	return err
}

func (r simRecorder) Append(ctx context.Context, key plan.Key, e reconciler.Entry) error {
	r.d.w.tell("  the daemon: %s %s from %s to %s: %s", e.Verb, e.Reason, e.From, e.To, e.Message)
	return r.d.effect("append", func() error {
		if r.d.w.down[partDisk] {
			return errors.New("write history.jsonl: no space left on device")
		}
		return r.Recorder.Append(ctx, key, e)
	})
}

func (r simRecorder) SaveStatus(ctx context.Context, s reconciler.Status) error {
	if r.d.dead {
		return errKilled
	}
	return r.Recorder.SaveStatus(ctx, s)
}

type simTraffic struct {
	reconciler.Traffic
	d *daemon
}

func (t simTraffic) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	t.d.w.moves(t.d, m)
	err := t.d.effect("traffic", func() error {
		if t.d.w.down[partGateway] {
			return errors.New("the bridge does not serve the config: connection refused")
		}
		err := t.Traffic.Apply(ctx, p, m)
		t.d.w.arrived(m)
		return err
	})
	if err != nil {
		t.d.faulted = true
	}
	return err
}

func (t simTraffic) Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	if t.d.dead || t.d.w.down[partGateway] {
		return reconciler.TrafficState{}, errUnreachable
	}
	return t.Traffic.Observe(ctx, p, stop)
}

type simCluster struct {
	reconciler.Cluster
	d *daemon
}

func (c simCluster) do(what string, effect func() error) error {
	return c.d.effect(what, func() error {
		if c.d.w.down[partCluster] {
			return errUnreachable
		}
		return effect()
	})
}

func (c simCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	return c.do("expand", func() error { return c.Cluster.Expand(ctx, d) })
}

func (c simCluster) Contract(ctx context.Context, d reconciler.Desired) error {
	c.d.w.contracts(d)
	return c.do("contract", func() error { return c.Cluster.Contract(ctx, d) })
}

func (c simCluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	return c.do("mark", func() error { return c.Cluster.SetMark(ctx, d) })
}

func (c simCluster) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	if c.d.dead || c.d.w.down[partCluster] {
		return false, "", errUnreachable
	}
	if c.d.w.down[partHealth] {
		return false, "Deployment default/modern: 0 of 2 replicas are ready", nil
	}
	return c.Cluster.Healthy(ctx, d)
}

func (c simCluster) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	if c.d.dead || c.d.w.down[partCluster] {
		return reconciler.ClusterState{}, errUnreachable
	}
	return c.Cluster.Observe(ctx, d)
}

// stateDir is a folder in memory where there is one.
func stateDir() (string, error) {
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	return os.MkdirTemp(base, "changeover-sim-*")
}
