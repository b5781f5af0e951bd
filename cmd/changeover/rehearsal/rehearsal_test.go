package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/screen"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/nginx"
)

// shop is a plan of four stops. CLUSTER stands in the cluster config of all,
// ROLLBACK in that of the split.
const shop = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends: {legacy: {url: "http://127.0.0.1:1"}, modern: {url: "http://127.0.0.1:2"}}
  gateway: GATEWAY
  identity: {header: X-User}
  signals: {errors: {query: 'sum(errors)'}}
  phases:
    - name: setup
      cluster: {path: setup}
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 50]
      cluster: {path: gradual, CLUSTER}
      routes: [{match: {pathPrefix: /a/, methods: [GET, POST]}, to: modern}, {to: split}]
      gates: {rollback: [{name: many, expr: signal.errors > 0.1}]}
      rollback: {ROLLBACK}
    - name: sunset
      routes: [{match: {path: /old}, respond: {status: 410}}, {to: modern}]
`

func version(t *testing.T, words ...string) plan.Version {
	t.Helper()
	text := strings.NewReplacer(append(words, "GATEWAY", "{bridge: {}}", "CLUSTER", "maxPrune: 20", "ROLLBACK", "depth: promotion")...).Replace(shop)
	doc, problems := plan.Decode("shop.yaml", []byte(text))
	if plan.HasErrors(problems) {
		t.Fatal(problems)
	}
	return plan.Version{Plan: doc.Plan, Path: "shop.yaml"}
}

func configMap(name, value string) render.Object {
	return render.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "default"}, "data": map[string]any{"a": value}}
}

func deployment(replicas int64) render.Object {
	return render.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "default"}, "spec": map[string]any{"replicas": replicas}}
}

// built are the objects of stops.
type built map[string][]render.Object

func (b built) build(stop plan.Position) ([]render.Object, error) {
	objects, ok := b[stop.String()]
	if !ok {
		return nil, fmt.Errorf("there is no kustomization for %s", stop)
	}
	return objects, nil
}

func run(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found are the findings, each in one line.
func found(r *Report) string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%v back=%v %s: %s", stops(f.At), f.Back, f.About, f.Message))
	}
	return strings.Join(out, "\n")
}

func ids(names ...string) []render.ID {
	var out []render.ID
	for _, n := range names {
		out = append(out, render.ID{Kind: "ConfigMap", Namespace: "default", Name: n})
	}
	return out
}

func TestEveryStopIsComparedForwardAndBack(t *testing.T) {
	secret := func(v string) render.Object {
		return render.Object{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s", "namespace": "default"}, "data": map[string]any{"a.b": v}}
	}
	r := run(t, Options{Plan: version(t), Build: built{
		"setup":      {configMap("a", "1"), deployment(3), secret("eA==")},
		"gradual@10": {configMap("a", "2"), deployment(1), configMap("new", "1"), secret("eQ==")},
		"gradual@50": {configMap("a", "2"), configMap("new", "1"), secret("eQ==")},
	}.build})
	if f := found(r); f != "" {
		t.Error(f)
	}
	got := ""
	for _, s := range append(r.Stops, r.Back...) {
		got += fmt.Sprintf("%s from %s:", s.Stop, s.From)
		if c := s.Cluster; c != nil {
			for _, n := range names(c.Created) {
				got += " +" + n
			}
			for _, ch := range c.Changed {
				got += " ~" + title(ch.Object) + " " + few(paths(ch.Fields))
			}
			for _, n := range names(c.Deleted) {
				got += " -" + n
			}
			for _, n := range names(c.First) {
				got += " first " + n
			}
			got += fmt.Sprintf(" =%d", c.Unchanged)
		}
		got += "\n"
	}
	want := `setup from none: +ConfigMap default/a +Deployment default/web +Secret default/s =0
gradual@10 from setup: +ConfigMap default/new ~ConfigMap default/a data.a ~Deployment default/web spec.replicas 3 -> 1 ~Secret default/s data[a.b] =0
gradual@50 from gradual@10: -Deployment default/web =3
sunset from gradual@50:
gradual@50 from sunset: =3
gradual@10 from gradual@50: +Deployment default/web first Deployment default/web =3
setup from gradual@10: ~ConfigMap default/a data.a ~Deployment default/web spec.replicas 1 -> 3 ~Secret default/s data[a.b] -ConfigMap default/new first Deployment default/web =0
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i, rules := range []string{
		"everything to legacy", "GET|POST /a/... to modern; everything 10 % to modern, 90 % to legacy",
		"GET|POST /a/... to modern; everything 50 % to modern, 50 % to legacy", "/old answered with 410; everything to modern",
	} {
		if got := strings.Join(r.Stops[i].Traffic.Rules, "; "); got != rules || !r.Stops[i].Traffic.Changed {
			t.Errorf("stop %d: %q, want %q", i, got, rules)
		}
	}
	if short := run(t, Options{Plan: version(t), To: plan.Position{Phase: "gradual", Percent: 10}, Build: built{"setup": {configMap("a", "1")}, "gradual@10": {configMap("a", "1")}}.build}); len(short.Stops) != 2 || len(short.Back) != 1 {
		t.Errorf("to gradual@10: %d stops, %d back", len(short.Stops), len(short.Back))
	}
}

// Where a breach leads is what the daemon decides.
func TestABreachLeadsWhereTheDaemonWouldGo(t *testing.T) {
	three := built{"setup": {configMap("a", "1")}, "gradual@10": {configMap("a", "1")}, "gradual@50": {configMap("a", "1")}}
	for rollback, want := range map[string][]string{
		"depth: promotion": {"back to setup, 1 commit reverted", "back to gradual@10, 1 commit reverted"},
		"depth: plan":      {"back to setup, 1 commit reverted", "back to setup, 2 commits reverted"},
		"depth: phase":     {"back to setup, 1 commit reverted", "back to setup, 2 commits reverted"},
		"onBreach: freeze": {"it stays, and a person is paged (onBreach: freeze)", "it stays, and a person is paged (onBreach: freeze)"},
		"window: 7d":       {"back to setup, 1 commit reverted, up to 1w after entry; later it stays, and a person is paged"},
	} {
		r := run(t, Options{Plan: version(t, "ROLLBACK", rollback), Build: three.build})
		for i, w := range want {
			if got := r.Stops[i+1].breach(); got != w {
				t.Errorf("%s at %s: %q, want %q", rollback, r.Stops[i+1].Stop, got, w)
			}
		}
		if b := r.Stops[0].Breach; b.Verb != "" || r.Stops[0].breach() != "no rollback gate here: nothing takes it back by itself" {
			t.Errorf("at setup: %+v", b)
		}
	}
	// Neither a suspension nor another plan changes it.
	v := version(t)
	v.Plan.Spec.Suspend, v.Plan.Spec.DependsOn = true, []plan.Dependency{{Plan: "other", Phase: "complete"}}
	if b, err := breachAt(v, plan.Position{Phase: "gradual", Percent: 50}); err != nil || b.Verb != decide.Rollback || !v.Plan.Spec.Suspend {
		t.Errorf("%+v, %v", b, err)
	}
}

// The stop that would delete too much is found, whichever way it is reached.
func TestTooManyDeletionsAreFound(t *testing.T) {
	all := built{
		"setup":      {configMap("a", "1"), configMap("b", "1"), configMap("c", "1")},
		"gradual@10": {configMap("a", "1"), configMap("d", "1"), configMap("e", "1")},
		"gradual@50": {configMap("a", "1"), configMap("d", "1"), configMap("e", "1")},
	}
	r := run(t, Options{Plan: version(t, "CLUSTER", "maxPrune: 1"), Build: all.build})
	want := "[gradual@10 gradual@50] back=false cluster: the stop would delete 2 objects and may delete 1, so nothing would be deleted: if that is meant, raise maxPrune of the phase's cluster to 2 or more"
	if got := found(r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r = run(t, Options{Plan: version(t), Build: built{
		"setup": {configMap("z", "1")}, "gradual@10": {configMap("z", "1")}, "gradual@50": {configMap("z", "1")},
	}.build})
	if got := found(r); got != "" {
		t.Errorf("got %s", got)
	}
}

// A breach that leads over several stops at once may delete more than each of
// them does.
func TestABreachThatLeadsFarBackMayDeleteTooMuch(t *testing.T) {
	v := version(t, "ROLLBACK", "depth: plan")
	one := 1
	v.Plan.Spec.Phases[0].Cluster.MaxPrune = &one
	r := run(t, Options{Plan: v, Build: built{
		"setup": {configMap("a", "1")}, "gradual@10": {configMap("a", "1"), configMap("b", "1")},
		"gradual@50": {configMap("a", "1"), configMap("b", "1"), configMap("c", "1")},
	}.build})
	if got := found(r); !strings.HasPrefix(got, "[setup] back=true cluster: the stop, straight back from gradual@50 by a breach, would delete 2 objects and may delete 1") || strings.Contains(got, "\n") {
		t.Errorf("got %s", got)
	}
}

func TestWhatStaysIsSaidOnce(t *testing.T) {
	kept := configMap("kept", "1")
	kept["metadata"].(map[string]any)["annotations"] = map[string]any{render.PruneAnnotation: "disabled"}
	space := render.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "n"}}
	r := run(t, Options{Plan: version(t), Build: built{
		"setup": {configMap("a", "1"), kept, space}, "gradual@10": {configMap("a", "1")}, "gradual@50": {configMap("a", "1")},
	}.build})
	if got := r.Stops[1].Cluster.Kept; len(got) != 2 || !strings.Contains(got[0].Why, "disabled") || !strings.Contains(got[1].Why, "may hold data") {
		t.Errorf("kept: %v", got)
	}
	for _, s := range append(r.Stops[2:], r.Back...) {
		if s.Cluster != nil && len(s.Cluster.Kept)+len(s.Cluster.Deleted) > 0 {
			t.Errorf("at %s: %+v", s.Stop, s.Cluster)
		}
	}
	r = run(t, Options{Plan: version(t, "CLUSTER", "prune: false"), Build: built{
		"setup": {configMap("a", "1"), configMap("b", "1")}, "gradual@10": {configMap("a", "1")}, "gradual@50": {configMap("a", "1")},
	}.build})
	if got := r.Stops[1].Cluster; len(got.Deleted) > 0 || len(got.Kept) != 1 || got.Kept[0].Why != "prune is false" {
		t.Errorf("%+v", got)
	}
}

// What cannot be rendered is found at its stop, and the others go on.
func TestWhatCannotBeRenderedIsFound(t *testing.T) {
	var asked []string
	r := run(t, Options{
		Plan: version(t, "GATEWAY", "{nginx: {}}"), Build: built{"setup": {configMap("a", "1")}, "gradual@50": {configMap("b", "1")}}.build,
		NGINX: func(_ context.Context, f nginx.Files) error {
			asked = append(asked, f.Hash)
			if len(asked) == 4 {
				return errors.New("unknown directive")
			}
			return nil
		},
	})
	want := "[gradual@10] back=false cluster: there is no kustomization for gradual@10\n[sunset] back=false traffic: nginx -t: unknown directive"
	if got := found(r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c := r.Stops[2].Cluster; r.Stops[1].Cluster != nil || len(c.Created) != 1 || fmt.Sprint(c.Deleted) != fmt.Sprint(ids("a")) {
		t.Errorf("%+v", c)
	}
	if !r.Tested || r.Stops[3].Traffic != nil || len(asked) != 4 {
		t.Errorf("%+v", r.Stops[3])
	}
	r = run(t, Options{Plan: version(t), Build: built{"setup": {}, "gradual@10": {}, "gradual@50": {}}.build})
	if got := found(r); !strings.Contains(got, "[setup] back=false cluster: build setup: no objects came of it") {
		t.Errorf("got %s", got)
	}
}

// pretended is a cluster with objects that nobody wants, which refuses what it
// is told to.
type pretended struct {
	live   []render.ID
	gone   []render.ID       // listed, and not there
	refuse map[string]string // by name
	asked  []string
	err    error
}

func (*pretended) Unmet(context.Context, *plan.Plan) ([]string, error) {
	return []string{"API x is required"}, nil
}

func (p *pretended) Live(context.Context, plan.Key) ([]render.ID, *reconciler.Mark, error) {
	return append(p.live, p.gone...), &reconciler.Mark{Stop: plan.Position{Phase: "setup"}}, nil
}

func (*pretended) Place(_ context.Context, d reconciler.Desired) (reconciler.Desired, error) {
	return d, nil
}

func (p *pretended) Try(_ context.Context, d reconciler.Desired) (out []kube.Trial, _ error) {
	for _, o := range d.Objects {
		t := kube.Trial{ID: o.ID(), Outcome: kube.Accepted}
		switch why := p.refuse[t.ID.Name]; {
		case strings.HasPrefix(why, "later"):
			t.Outcome, t.Why = kube.NotTried, why
		case why != "":
			t.Outcome, t.Why = kube.Refused, why
		}
		out = append(out, t)
	}
	return out, p.err
}

func (p *pretended) Leave(_ context.Context, d reconciler.Desired, ids []render.ID) (out []kube.Leaving, _ error) {
	for _, id := range ids {
		p.asked = append(p.asked, d.Mark.Stop.String()+" "+id.Name)
		l := kube.Leaving{ID: id}
		for _, there := range p.live {
			l.Live = l.Live || there == id
		}
		if l.Live {
			l.Refused = p.refuse[id.Name]
		}
		out = append(out, l)
	}
	return out, nil
}

func (*pretended) Route(context.Context, *plan.Plan, plan.Position) (kube.Trial, error) {
	return kube.Trial{}, errors.New("the plan has no HTTPRoute")
}

func TestWhatTheClusterSaysIsToldAtItsStop(t *testing.T) {
	c := &pretended{live: ids("a", "old", "stuck"), gone: ids("vanished"), refuse: map[string]string{"b": "not allowed", "c": "later: its namespace is made at this stop", "stuck": "guarded"}}
	o := Options{Plan: version(t), Cluster: c, URL: "https://here", Build: built{
		"setup": {configMap("a", "1")}, "gradual@10": {configMap("a", "1"), configMap("b", "1")}, "gradual@50": {configMap("b", "1"), configMap("c", "1")},
	}.build}
	r := run(t, o)
	want := `[] back=false requires: API x is required
[setup] back=false delete ConfigMap default/stuck: guarded
[gradual@10 gradual@50] back=false ConfigMap default/b: not allowed`
	if got := found(r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// What no stop wants goes at the first; a, which is live, is not there
	// before a stop brings it.
	if got := fmt.Sprint(r.Stops[0].Cluster.Deleted); got != fmt.Sprint(ids("old", "stuck")) {
		t.Errorf("the first stop deletes %s", got)
	}
	if d := r.Stops[2].DryRun; d.Accepted != 0 || len(d.Refused) != 1 || len(d.NotTried) != 1 || r.NotTried() != 1 {
		t.Errorf("%+v", d)
	}
	if r.Cluster.Live.Phase != "setup" || r.Stops[3].DryRun != nil {
		t.Errorf("%+v", r.Cluster)
	}
	text := r.Text()
	for _, want := range []string{
		"Cluster https://here was asked by dry runs, against what is live now: the plan at setup.", "! requires: API x is required\n",
		"! gradual@10, gradual@50: ConfigMap default/b: not allowed\n", "dry run    0 accepted, 1 refused (below), 1 not tried\n",
		"not tried: ConfigMap default/c: later: its namespace is made at this stop", "3 findings; 1 object could not be tried.\n",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	c.err = errors.New("no answer")
	if _, err := Run(t.Context(), o); !errors.Is(err, c.err) {
		t.Errorf("got %v", err)
	}
}

// What no API server lets change is found without one, and said once where one
// has said it.
func TestWhatCannotBeChangedIsFound(t *testing.T) {
	object := func(api, kind string, fields map[string]any) render.Object {
		o := render.Object{"apiVersion": api, "kind": kind, "metadata": map[string]any{"name": "x", "namespace": "default"}}
		for k, v := range fields {
			o[k] = v
		}
		return o
	}
	type m = map[string]any
	job := func(ttl any, image string) render.Object {
		return object("batch/v1", "Job", m{"spec": m{"ttlSecondsAfterFinished": ttl, "template": m{"spec": m{"image": image}}}})
	}
	for name, c := range map[string]struct {
		old, now render.Object
		fields   string // empty: nothing is found
	}{
		"a selector": {object("apps/v1", "Deployment", m{"spec": m{"selector": m{"matchLabels": m{"a": "b"}}}}),
			object("apps/v1", "Deployment", m{"spec": m{"selector": m{"matchLabels": m{"a": "c"}}}}), "spec.selector.matchLabels.a"},
		"an image":                  {object("apps/v1", "Deployment", m{"spec": m{"template": m{"image": "a"}}}), object("apps/v1", "Deployment", m{"spec": m{"template": m{"image": "b"}}}), ""},
		"a Job":                     {job(nil, "a"), job(nil, "b"), "spec.template.spec.image"},
		"a Job that goes by itself": {job(int64(60), "a"), job(int64(60), "b"), ""},
		"what a binding binds": {object("rbac.authorization.k8s.io/v1", "RoleBinding", m{"roleRef": m{"name": "a"}}),
			object("rbac.authorization.k8s.io/v1", "RoleBinding", m{"roleRef": m{"name": "b"}}), "roleRef.name"},
		"an immutable ConfigMap": {object("v1", "ConfigMap", m{"immutable": true, "data": m{"a": "1"}}), object("v1", "ConfigMap", m{"immutable": true, "data": m{"a": "2"}}), "data.a"},
		"a ConfigMap":            {object("v1", "ConfigMap", m{"data": m{"a": "1"}}), object("v1", "ConfigMap", m{"data": m{"a": "2"}}), ""},
	} {
		o := Options{Plan: version(t), Build: built{"setup": {c.old}, "gradual@10": {c.now}, "gradual@50": {c.now}}.build}
		want := ""
		if c.fields != "" {
			want = fmt.Sprintf("[gradual@10] back=false %s: %s cannot be changed once the object exists", title(c.now.ID()), c.fields)
		}
		if got := found(run(t, o)); !strings.HasPrefix(got, want) || want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		o.Cluster = &pretended{refuse: map[string]string{"x": "immutable"}}
		if got := found(run(t, o)); strings.Contains(got, "cannot be changed") {
			t.Errorf("%s is found twice: %s", name, got)
		}
	}
}

// An object that the way applies is deleted by what it is then, and not by what
// it is now.
func TestWhatStaysIsToldOfWhatWouldBeThere(t *testing.T) {
	plain, kept, given := configMap("x", "1"), configMap("x", "1"), configMap("x", "1")
	kept["metadata"].(map[string]any)["annotations"] = map[string]any{render.PruneAnnotation: "disabled"}
	given["metadata"].(map[string]any)["annotations"] = map[string]any{render.PruneAnnotation: "enabled"}
	const disabled = "annotated " + render.PruneAnnotation + ": disabled"
	for name, c := range map[string]struct {
		h    held
		f    kube.Leaving
		want string
	}{
		"nothing more is known":          {held{}, kube.Leaving{Live: true, Stays: "s"}, "s"},
		"another's, which no stop wants": {held{}, kube.Leaving{Live: true, Stays: "s", Foreign: true}, "s"},
		"not there yet":                  {held{object: plain}, kube.Leaving{}, ""},
		"not there yet, and kept":        {held{object: kept}, kube.Leaving{}, disabled},
		"nobody's, which is then ours":   {held{object: plain}, kube.Leaving{Live: true, Stays: "s", Foreign: true}, ""},
		"kept by a person":               {held{object: plain}, kube.Leaving{Live: true, Stays: "s"}, "s"},
		"kept by its manifest":           {held{object: kept}, kube.Leaving{Live: true}, disabled},
		"given up by its manifest":       {held{object: given}, kube.Leaving{Live: true, Stays: "s"}, ""},
	} {
		if got := stays(c.h, c.f); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestLinesFitOnAScreen(t *testing.T) {
	long := strings.Repeat("long", 30)
	var w text
	w.item("traffic", strings.Repeat("one two ", 20)+long+" end")
	for i, line := range strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n") {
		if len(line) > screen.Width && !strings.Contains(line, long) {
			t.Errorf("line %d has %d characters: %s", i, len(line), line)
		}
	}
	if !strings.HasPrefix(w.String(), "  traffic    one two ") || !strings.HasSuffix(w.String(), "\n               end\n") {
		t.Errorf("got %q", w.String())
	}
	var lines []string
	several(func(s string) { lines = append(lines, s) }, "+ ", make([]string, 20))
	if len(lines) != most+1 || lines[most] != "+ and 8 more (-o yaml lists all)" {
		t.Errorf("got %q", lines)
	}
	if got := few([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Errorf("got %q", got)
	}
}
