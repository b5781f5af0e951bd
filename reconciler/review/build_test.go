package review_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/review"
	"github.com/changeover-dev/changeover/render/kustomize"
)

const shop = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: gradual, percent: 10}
  backends: {legacy: {url: "http://127.0.0.1:8080"}, modern: {url: "http://127.0.0.1:8000"}}
  gateway: {bridge: {}}
  identity: {header: X-Tenant}
  signals:
    errors: {query: "sum(errors)"}
  roles: {operations: {signers: [ada@example.com, ben@example.com]}}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50]
      bake: 72h
      routes: [{to: split}]
      approvals: [{role: operations, count: 2}]
      gates:
        advance: [{name: low, expr: signal.errors < 1.0}]
        rollback: [{name: high, expr: signal.errors > 3.0, for: 5m}]
    - name: sunset
      manual: true
      routes: [{to: modern}]
`

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday

// tree is a repository of some files, of which those in plans/ are plans.
func tree(name string, files map[string]string) review.Tree {
	all := fstest.MapFS{}
	t := review.Tree{Name: name, Files: all}
	for path, src := range files {
		all[path] = &fstest.MapFile{Data: []byte(src)}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(path, "plans/") {
			continue
		}
		doc, problems := plan.Decode(path, []byte(files[path]))
		names, more := kustomize.Reads(all, doc)
		v := plan.Version{Plan: doc.Plan, Path: path, Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)}
		var reads []plan.Read
		for _, n := range names {
			reads = append(reads, plan.Read{Path: n, ID: files[n]})
		}
		t.Plans = append(t.Plans, review.File{Version: v.Reading(reads), Document: doc, Problems: append(problems, more...)})
	}
	return t
}

func build(base, head map[string]string) review.Review {
	return review.Build(tree("main", base), tree("work", head), review.Options{Now: now, Check: gates.Check})
}

// edit replaces the first of each pair by the second.
func edit(t *testing.T, src string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(src, pairs[i]) != 1 {
			t.Fatalf("%q is there %d times", pairs[i], strings.Count(src, pairs[i]))
		}
		src = strings.Replace(src, pairs[i], pairs[i+1], 1)
	}
	return src
}

func one(src string) map[string]string {
	if src == "" {
		return map[string]string{}
	}
	return map[string]string{"plans/shop.yaml": src}
}

func TestWhatAChangeIs(t *testing.T) {
	at := "{phase: gradual, percent: 10}"
	cases := map[string]struct {
		base, head string
		kind       review.Kind
		does       decide.Verb
		illegal    string
		way        string
	}{
		"new":             {"", shop, review.New, decide.Advance, "", "setup gradual@10"},
		"raise":           {shop, edit(t, shop, at, "{phase: gradual, percent: 50}"), review.Raise, decide.Advance, "", "gradual@25 gradual@50"},
		"lower":           {shop, edit(t, shop, at, "{phase: setup}"), review.Lower, decide.Retreat, "", "setup"},
		"quiet content":   {shop, edit(t, shop, "> 3.0", "> 4.0"), review.Content, decide.Apply, "", ""},
		"live content":    {shop, edit(t, shop, "X-Tenant", "X-User"), review.Content, decide.Apply, "", ""},
		"suspend":         {shop, edit(t, shop, "  backends:", "  suspend: true\n  backends:"), review.Suspend, decide.Hold, "", ""},
		"stop removed":    {shop, edit(t, shop, "[10, 25, 50]", "[5, 25, 50]", at, "{phase: gradual, percent: 25}"), review.Elsewhere, decide.Hold, "off-itinerary", ""},
		"gateway":         {shop, edit(t, shop, "{bridge: {}}", "{nginx: {}}"), review.Content, decide.Hold, "gateway-changed", ""},
		"removed":         {shop, "", review.Removed, decide.Hold, "removed-on-the-way", ""},
		"removed at last": {edit(t, shop, at, "{phase: sunset}"), "", review.Removed, decide.Hold, "", ""},
		"removed, first":  {edit(t, shop, at, "{phase: setup}"), "", review.Removed, decide.Hold, "", ""},
		"broken":          {shop, edit(t, shop, "bake: 72h", "bake: 72 hours"), review.Invalid, "", "invalid", ""},
		"broken gate":     {shop, edit(t, shop, "signal.errors < 1.0", "signal.none < 1.0"), review.Invalid, "", "invalid", ""},
		"name broken":     {shop, edit(t, shop, "{name: shop}", "{nam: shop}"), review.Invalid, "", "invalid", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := build(one(c.base), one(c.head))
			if len(r.Plans) != 1 {
				t.Fatalf("got %d plans", len(r.Plans))
			}
			p := r.Plans[0]
			illegal, way := "", []string{}
			for _, f := range p.Illegal {
				illegal += f.Code
			}
			for _, s := range p.Way {
				way = append(way, s.Position.String())
			}
			if p.Key.Name != "shop" || p.Kind != c.kind || p.Does.Verb != c.does || illegal != c.illegal || strings.Join(way, " ") != c.way {
				t.Errorf("got %s, %s, %q, way %v", p.Kind, p.Does.Verb, illegal, way)
			}
			if r.Legal != (c.illegal == "") {
				t.Errorf("legal is %v", r.Legal)
			}
		})
	}
}

func TestWhatIsNoChange(t *testing.T) {
	for name, head := range map[string]string{"nothing": shop, "a comment": "# hello\n" + shop} {
		if r := build(one(shop), one(head)); len(r.Plans) != 0 || r.Unchanged != 1 || !r.Legal {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	// Broken before, and broken the same way still: not of this change.
	broken := edit(t, shop, "bake: 72h", "bake: 72 hours")
	if r := build(one(broken), one("# hello\n"+broken)); len(r.Plans) != 0 {
		t.Errorf("got %+v", r.Plans)
	}
}

func TestARaiseTellsWhatKeepsIt(t *testing.T) {
	raised := edit(t, shop, "{phase: gradual, percent: 10}", "{phase: sunset}",
		"bake: 72h", "notBefore: {50: 2026-04-01T09:00:00Z}", "  phases:", "  windows: [{allow: Sat-Sun 09:00-17:00}]\n  phases:")
	p := build(one(shop), one(raised)).Plans[0]
	var got []string
	for _, h := range p.Holds {
		got = append(got, h.Stop.String()+" "+string(h.Reason))
	}
	want := []string{"none OutsideWindow", "gradual@25 ApprovalMissing", "gradual@50 NotBefore", "gradual@50 ApprovalMissing"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "a breach on the way, or before sunset has baked, takes it back to gradual@10, 3 stops"; p.Breach != want {
		t.Errorf("got %q", p.Breach)
	}
}

func TestAManualPhaseOnTheWayHolds(t *testing.T) {
	src := edit(t, shop, "      manual: true\n", "", "    - name: gradual\n", "    - name: gradual\n      manual: true\n", "{phase: gradual, percent: 10}", "{phase: setup}")
	p := build(one(src), one(edit(t, src, "{phase: setup}", "{phase: sunset}"))).Plans[0]
	if !slices.ContainsFunc(p.Holds, func(h review.Hold) bool { return h.Reason == decide.Manual && h.Stop.Phase == "gradual" }) {
		t.Errorf("got %+v", p.Holds)
	}
}

func TestDependencies(t *testing.T) {
	platform := strings.Replace(edit(t, shop, "{name: shop}", "{name: platform}"), "{phase: gradual, percent: 10}", "{phase: gradual, percent: 50}", 1)
	needs := edit(t, shop, "  backends:", "  dependsOn: [{plan: platform, phase: gradual}]\n  backends:")
	files := func(platform, shop string) map[string]string {
		return map[string]string{"plans/platform.yaml": platform, "plans/shop.yaml": shop}
	}
	// The plan below is lowered, and takes this one along.
	r := build(files(platform, needs), files(edit(t, platform, "{phase: gradual, percent: 50}", "{phase: setup}"), needs))
	if len(r.Plans) != 2 || r.Plans[1].Kind != review.Cascade || r.Plans[1].Does.Reason != decide.DependencyLost ||
		r.Plans[1].To.Phase != "setup" || strings.Contains(r.Plans[1].Does.Message, "by hand") {
		t.Errorf("got %+v", r.Plans)
	}
	// It is lowered, but not below what is needed.
	if r := build(files(platform, needs), files(edit(t, platform, "percent: 50}", "percent: 25}"), needs)); len(r.Plans) != 1 {
		t.Errorf("got %+v", r.Plans)
	}
	// One that is not far enough holds.
	first := edit(t, needs, "{phase: gradual, percent: 10}", "{phase: setup}")
	low := edit(t, platform, "{phase: gradual, percent: 50}", "{phase: setup}")
	r = build(files(low, first), files(low, needs))
	if p := r.Plans[0]; len(p.Holds) == 0 || p.Holds[0].Reason != decide.DependencyUnmet || p.Does.Verb != decide.Hold {
		t.Errorf("got %+v", r.Plans)
	}
	// That it is raised by the same change takes time: it holds all the same.
	r = build(files(low, first), files(platform, needs))
	if p := r.Plans[1]; p.Kind != review.Raise || p.Does.Reason != decide.DependencyUnmet {
		t.Errorf("got %+v", p)
	}
	// A plan that is removed at its last stop: the other lacks it then.
	r = build(files(edit(t, platform, "{phase: gradual, percent: 50}", "{phase: sunset}"), first), one(needs))
	if len(r.Plans) != 2 || !strings.Contains(r.Plans[1].Does.Message, "not on the branch") {
		t.Errorf("got %+v", r.Plans)
	}
}

func TestGatesThatDecide(t *testing.T) {
	raised := one(edit(t, shop, "{phase: gradual, percent: 10}", "{phase: gradual, percent: 50}"))
	o := review.Options{Now: now, Gates: func(p *plan.Plan, reqs []gates.Request) (gates.Results, error) {
		var out gates.Results
		for _, r := range reqs {
			for _, e := range r.Effects {
				for _, g := range p.Phase(r.Stop.Phase).GatesOf(e) {
					out = append(out, gates.Result{Key: gates.Key{Stop: r.Stop, Effect: e, Name: g.Name}, Verdict: gates.Pass, Detail: "errors = 7"})
				}
			}
		}
		return out, nil
	}}
	p := review.Build(tree("main", one(shop)), tree("work", raised), o).Plans[0]
	if len(p.Gates) != 2 || p.Gates[0].Name != "low" || len(p.Gates[0].Stops) != 2 || len(p.Gates[1].Stops) != 3 {
		t.Fatalf("got %+v", p.Gates)
	}
	for _, g := range p.Gates {
		if g.Verdict != gates.Pass || g.Detail != "errors = 7" {
			t.Errorf("got %+v", g)
		}
	}
	text := review.Text(review.Review{Plans: []review.Plan{p}, Evaluated: true})
	if !strings.Contains(text, "rollback: signal.errors > 3.0 for 5m: Breach (errors = 7)") {
		t.Errorf("got\n%s", text)
	}
	if p := build(one(shop), raised).Plans[0]; p.Gates[0].Verdict != review.NotEvaluated {
		t.Errorf("got %+v", p.Gates[0])
	}
}

func TestOnlyNewProblemsAreShown(t *testing.T) {
	old := edit(t, shop, `    errors: {query: "sum(errors)"}`, "    errors: {query: \"sum(errors)\"}\n    spare: {query: \"sum(a)\"}")
	codes := func(r review.Review) (out []string) {
		for _, p := range r.Plans[0].Problems {
			out = append(out, p.Code)
		}
		return out
	}
	if got := codes(build(one(old), one("# moved by a line\n"+edit(t, old, "> 3.0", "> 4.0")))); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	if got := codes(build(one(shop), one(old))); !slices.Contains(got, "unused-signal") {
		t.Errorf("got %q", got)
	}
}

const overlay = "resources: [all.yaml]\n"

// objects of an overlay, one of them a Secret.
func objects(password, image string) string {
	return `apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: ` + password + `, user: same-user}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: modern}
spec: {template: {spec: {containers: [{name: app, image: ` + image + `}]}}}
`
}

func withCluster(t *testing.T, password, image string) map[string]string {
	return map[string]string{
		"plans/shop.yaml":              edit(t, shop, "      bake: 72h\n", "      cluster: {path: ../k/gradual}\n"),
		"k/gradual/all.yaml":           objects(password, image),
		"k/gradual/kustomization.yaml": overlay,
	}
}

func TestTheClusterIsComparedAndSecretsAreHidden(t *testing.T) {
	r := build(withCluster(t, "hunter2", "modern:1"), withCluster(t, "correct-horse", "modern:2"))
	p := r.Plans[0]
	if p.Kind != review.Content || !p.Live || !p.Reads || len(p.Cluster) != 2 {
		t.Fatalf("got %+v", p)
	}
	for _, out := range []string{review.Text(r), review.Markdown(r)} {
		if !strings.Contains(out, "-      - image: modern:1\n+      - image: modern:2\n") || !strings.Contains(out, "+  password: '*** (hidden, another value)'") {
			t.Errorf("got\n%s", out)
		}
		for _, secret := range []string{"hunter2", "correct-horse", "same-user"} {
			if strings.Contains(out, secret) {
				t.Errorf("%q is in\n%s", secret, out)
			}
		}
	}
	broken := withCluster(t, "a", "b")
	broken["k/gradual/kustomization.yaml"] = "resources: [gone.yaml]\n"
	if p := build(one(shop), broken).Plans[0]; p.Kind != review.Invalid || len(p.Illegal) == 0 {
		t.Errorf("got %+v", p)
	}
}

func TestABaseThatIsBrokenIsNotComparedWith(t *testing.T) {
	p := build(one(edit(t, shop, "bake: 72h", "bake: 72 hours")), one(shop)).Plans[0]
	if len(p.Illegal) > 0 || len(p.Notes) != 1 || p.Does.Verb != "" || len(p.Gateway) > 0 {
		t.Errorf("got %+v", p)
	}
}
