package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/fakes"
)

var shop = plan.Key{Namespace: "default", Name: "shop"}

const (
	bake      = 10 * time.Minute
	gitMaxAge = 5 * time.Minute
)

const shopPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {bridge: {}}
  identity: {header: X-User}
  signals:
    errors: {query: errors}
  phases:
    - name: setup
      cluster: {path: k/setup}
      routes: [{to: legacy}]
    - name: gradual
      cluster: {path: k/both}
      percents: [10, 25, 50]
      bake: 10m
      routes: [{to: split}]
      gates:
        advance: [{name: low, expr: "signal.errors < 0.01"}]
        rollback: [{name: high, expr: "signal.errors > 0.03"}]
    - name: sunset
      cluster: {path: k/modern}
      bake: 10m
      routes: [{to: modern}]
      gates:
        rollback: [{name: high, expr: "signal.errors > 0.03"}]
`

// part of the world that can be down.
type part string

const (
	partGit        part = "git"
	partPrometheus part = "prometheus"
	partDisk       part = "disk"
	partGateway    part = "gateway"
	partCluster    part = "cluster"
	partHealth     part = "health"
	partRender     part = "render"
)

var parts = []part{partGit, partPrometheus, partDisk, partGateway, partCluster, partHealth, partRender}

// metric is what Prometheus says of errors: a share, or one of those below.
type metric float64

const (
	metricNone  metric = -1
	metricNaN   metric = -2
	metricStale metric = -3
)

// fault is what happens at a boundary of an effect.
type fault string

const (
	faultKill  fault = "kill"
	faultError fault = "error" // before: it is not done; after: its answer is lost
	faultPush  fault = "push"  // a person pushes just then
	faultPause fault = "pause" // the machine stands still for a while
)

// armed is a fault that waits for its boundary.
type armed struct {
	in   int // boundaries from now
	kind fault
}

// World is all there is, but for the daemon.
type World struct {
	host    *host
	gateway *fakes.Traffic
	cluster *fakes.Cluster
	state   string // the daemon's folder
	d       *daemon
	now     time.Time
	rand    *rand.Rand // of events alone that draw while they happen

	down     map[part]bool
	metric   metric
	staleGit int
	faults   []armed
	// Injected counts faults by kind and boundary.
	Injected map[string]int
	// Steps counts what happened.
	Steps int

	laws
}

// newWorld is a world in which the plan stands at setup, and the daemon has not
// begun.
func newWorld(seed uint64) *World {
	w := &World{
		gateway: &fakes.Traffic{}, cluster: &fakes.Cluster{}, down: map[part]bool{}, Injected: map[string]int{},
		now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(seed, 1)),
	}
	w.host = &host{st: memory.NewStorage(), now: w.clock}
	var err error
	w.state, err = stateDir()
	must(err)
	w.host.commit(map[string]string{"README.md": "the shop\n", planFile: shopPlan}, "Add the plan")
	return w
}

func (w *World) clock() time.Time { return w.now }

// forget loses the daemon's own state.
func (w *World) forget() {
	must(os.RemoveAll(w.state))
	must(os.Mkdir(w.state, 0o700))
}

func (w *World) close() {
	if w.d != nil {
		w.d.kill()
	}
	_ = os.RemoveAll(w.state)
}

// boundary is before or after an effect: what is armed for it happens.
func (w *World) boundary(d *daemon, at string) error {
	for i := range w.faults {
		w.faults[i].in--
	}
	if len(w.faults) == 0 || w.faults[0].in > 0 {
		return nil
	}
	f := w.faults[0]
	w.faults = w.faults[1:]
	w.Injected[string(f.kind)+" "+at]++
	w.tell("  %s %s", f.kind, at)
	switch f.kind {
	case faultKill:
		d.dead = true
		return errKilled
	case faultError:
		return errUnreachable
	case faultPush:
		w.person(event{kind: "declare", stop: w.rand.IntN(len(itinerary))})
	case faultPause:
		w.pass(time.Duration(1+w.rand.IntN(20)) * time.Minute)
	}
	return nil
}

func (w *World) pass(d time.Duration) { w.now = w.now.Add(d) }

// plan at a commit; nil where it does not decode.
func (w *World) plan(at plumbing.Hash) *plan.Plan {
	doc, problems := plan.Decode(planFile, []byte(w.host.files(at)[planFile]))
	if plan.HasErrors(problems) {
		return nil
	}
	return doc.Plan
}

var itinerary = []plan.Position{{Phase: "setup"}, {Phase: "gradual", Percent: 10}, {Phase: "gradual", Percent: 25}, {Phase: "gradual", Percent: 50}, {Phase: "sunset"}}

func index(p plan.Position) int {
	for i, q := range itinerary {
		if p == q {
			return i
		}
	}
	return -1
}

// person has somebody push something.
func (w *World) person(e event) {
	at := w.host.head()
	files := w.host.files(at)
	p := w.plan(at)
	edit := func(text, message string) {
		if text != files[planFile] {
			files[planFile] = text
			w.host.commit(files, message)
			w.tell("  a person: %s", strings.SplitN(message, "\n", 2)[0])
		}
	}
	position := func(to plan.Position, message string) {
		if text, err := plan.SetPosition([]byte(files[planFile]), to); err == nil {
			edit(string(text), message)
		}
	}
	switch e.kind {
	case "declare":
		position(itinerary[e.stop], "shop: "+itinerary[e.stop].String())
	case "revert":
		if p == nil {
			return
		}
		for _, l := range w.host.log(at) {
			if strings.HasPrefix(l.subject, "shop: ") {
				if i := index(p.Spec.Position); i > 0 {
					position(itinerary[i-1], fmt.Sprintf("Revert %q\n\nThis reverts commit %s.", l.subject, l.hash))
				}
				return
			}
		}
	case "unhold":
		st, _ := w.status()
		if len(st.Holds) > 0 {
			files["README.md"] += "unhold\n"
			w.host.commit(files, "Try it again\n\nChangeover-Unhold: "+string(st.Holds[0].Commit))
		}
	case "docs":
		files["README.md"] += "more\n"
		w.host.commit(files, "Docs")
	case "content":
		header := strings.NewReplacer("X-User", "X-Caller", "X-Caller", "X-User")
		edit(header.Replace(files[planFile]), "Tell callers by another header")
	case "break":
		edit(strings.Replace(files[planFile], "phases:", "fases:", 1), "Tidy up")
	case "mend":
		edit(strings.Replace(files[planFile], "fases:", "phases:", 1), "Mend the plan")
	case "resume":
		files["README.md"] += "resume\n"
		w.host.commit(files, "Go on\n\nChangeover-Resume: shop")
	}
}

func (w *World) status() (reconciler.Status, bool) {
	if w.d == nil {
		return reconciler.Status{}, false
	}
	return w.d.r.Status(shop)
}

// served is the stop that callers get; -1: none yet.
func (w *World) served() int {
	m := w.gateway.Served(shop)
	if m == nil {
		return -1
	}
	return index(m.Stop)
}

// work has the daemon read the branch and work the plan, and ends a life that a
// fault ended.
func (w *World) work() {
	if w.d == nil {
		w.start()
		if w.d == nil {
			return
		}
	}
	d := w.d
	d.hold = make(chan struct{})
	close(d.hold)
	if !d.dead {
		d.r.Poll(context.Background())
	}
	if !d.dead {
		d.step()
	}
	if d.dead {
		d.kill()
	}
}
