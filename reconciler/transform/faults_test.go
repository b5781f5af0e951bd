package transform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// small is a plan that makes an IntentProcessing of each NetworkIntent.
func small(namespace string, verify ...string) *plan.Plan {
	p := &plan.Plan{Metadata: plan.Metadata{Name: "small", Namespace: namespace}}
	p.Spec.Phases = []plan.Phase{{Name: "monolith"}, {
		Name: "microservices", Rollback: plan.Rollback{RemoveTransformed: true},
		Transforms: []plan.Transform{{
			Name: "intents", From: plan.TransformSource{APIVersion: "nephoran.com/v1", Kind: "NetworkIntent", Namespace: namespace, Selector: "!legacy"},
			BatchSize: 2, Parallelism: 2, Sample: new(plan.Percent(100)), Verify: verify,
			To: []plan.TransformTarget{{
				Name: "processing", OwnerReference: true,
				Object: `{"apiVersion": "nephoran.com/v1", "kind": "IntentProcessing", "metadata": {"name": object.spec.?to.orValue(object.metadata.name)}, "spec": {"intent": object.spec.intent}}`,
			}, {
				Name: "resources", When: "has(object.spec.cpu)",
				Object: `{"apiVersion": "nephoran.com/v1", "kind": "ResourcePlan", "metadata": {"name": object.metadata.name}, "spec": {"cpu": object.spec.cpu}}`,
			}},
		}},
	}}
	return p
}

func intents(t *testing.T, k *kubetest.Kube, ns string, specs ...string) {
	t.Helper()
	for i, s := range specs {
		k.Apply(t, ns, fmt.Sprintf("{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: i%d}, spec: %s}", i, s))
	}
}

// says waits until the work says something.
func says(t *testing.T, r *Runner, task reconciler.Task, want string) reconciler.Progress {
	t.Helper()
	return until(t, "it says "+want, func() (reconciler.Progress, error) { return r.Ensure(t.Context(), task) },
		func(p reconciler.Progress) bool { return strings.Contains(p.Message, want) && !p.Done })
}

func TestAFailedSourceIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{}", "{intent: c}")
	r, x := begun(t, k, t.TempDir()), task(small(ns))
	says(t, r, x, "NetworkIntent "+ns+"/i1: to[0].object: a field or key that it reads is not there")
	until(t, "the others are done", func() (reconciler.Progress, error) { return r.Ensure(t.Context(), x) }, func(p reconciler.Progress) bool {
		return p.Failed == 1 && p.Finished == 2 && p.Total == 3 && !p.Done
	})
	intents(t, k, ns, "{intent: a}", "{intent: b}")
	if p := ensured(t, r, x); p.Failed != 0 || p.Finished != 3 || p.Total != 3 {
		t.Errorf("%+v", p)
	}
	if got := list(t, k, "intentprocessings", ns); len(got) != 3 || got[0].GetOwnerReferences()[0].Kind != "NetworkIntent" {
		t.Errorf("made %v", got)
	}
}

func TestWhatOthersMadeIsNotTouched(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{intent: b}", "{intent: c, to: i0}", "{intent: d}")
	k.Apply(t, ns, "{apiVersion: nephoran.com/v1, kind: IntentProcessing, metadata: {name: i1}, spec: {theirs: true}}")
	change(t, k, "networkintents", ns, "i3", `{"metadata": {"labels": {"legacy": ""}}}`)
	r, x := begun(t, k, t.TempDir()), task(small(ns))
	says(t, r, x, "i1: IntentProcessing.nephoran.com "+ns+"/i1: it is there already and no transform made it")
	if o := k.Get(t, "IntentProcessing.nephoran.com", ns, "i1"); fmt.Sprint(o.Object["spec"]) != "map[theirs:true]" {
		t.Errorf("it was touched: %v", o.Object)
	}
	k.Delete(t, "IntentProcessing.nephoran.com", ns, "i1")
	// Of two sources of one object one fails, whichever was later.
	says(t, r, x, "becomes the same object")
	k.Delete(t, "NetworkIntent.nephoran.com", ns, "i2")
	ensured(t, r, x)
	if got := list(t, k, "intentprocessings", ns); len(got) != 2 {
		t.Errorf("%d objects, want 2: one source is not selected, one is gone", len(got))
	}
}

func TestATargetThatOthersChangedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{intent: b}")
	dir := t.TempDir()
	r, x := begun(t, k, dir), task(small(ns))
	ensured(t, r, x)
	change(t, k, "intentprocessings", ns, "i0", `{"spec": {"intent": "theirs"}}`)
	// What is done is done: a daemon that begins again does not look.
	ensured(t, r, x)
	x.Since = x.Since.Add(time.Hour)
	says(t, r, x, `owned by another manager: "kubectl-edit" (.spec.intent)`)
	if o := k.Get(t, "IntentProcessing.nephoran.com", ns, "i0"); fmt.Sprint(o.Object["spec"]) != "map[intent:theirs]" {
		t.Errorf("it was overwritten: %v", o.Object["spec"])
	}
	k.Delete(t, "IntentProcessing.nephoran.com", ns, "i0")
	ensured(t, r, x)
	if o := k.Get(t, "IntentProcessing.nephoran.com", ns, "i0"); fmt.Sprint(o.Object["spec"]) != "map[intent:a]" {
		t.Errorf("it was not made again: %v", o.Object["spec"])
	}
}

func TestVerifyHoldsTheMove(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{intent: b}")
	r, x := begun(t, k, t.TempDir()), task(small(ns, "targets.processing.metadata.labels.?checked.orValue('no') == 'yes'"))
	says(t, r, x, "verify does not hold: targets.processing.metadata.labels.?checked.orValue('no') == 'yes'")
	until(t, "both are held", func() (reconciler.Progress, error) { return r.Ensure(t.Context(), x) }, func(p reconciler.Progress) bool { return p.Failed == 2 && !p.Done })
	for _, name := range []string{"i0", "i1"} {
		change(t, k, "intentprocessings", ns, name, `{"metadata": {"labels": {"checked": "yes"}}}`)
	}
	ensured(t, r, x)
}

func TestOrphansAreFoundAndStay(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a, cpu: 1}", "{intent: b, cpu: 2}", "{intent: c, cpu: 3}")
	p := small(ns)
	p.Spec.Phases[1].Transforms[0].To[0].OwnerReference = false
	dir := t.TempDir()
	r, x := begun(t, k, dir), task(p)
	ensured(t, r, x)
	k.Delete(t, "NetworkIntent.nephoran.com", ns, "i0") // its two targets have no source
	change(t, k, "networkintents", ns, "i1", `{"spec": {"cpu": null}}`)
	x.Since = x.Since.Add(time.Hour)
	done := ensured(t, r, x)
	report := r.Reports(p.Key())["intents"]
	if report.Orphaned != 3 || report.Sources != 2 || report.Changed != 1 || report.Deleted != 1 || report.Targets["resources"] != 1 {
		t.Errorf("%+v", report)
	}
	contains(t, done.Message, "3 orphaned: IntentProcessing.nephoran.com "+ns+"/i0")
	if n := len(list(t, k, "resourceplans", ns)); n != 3 {
		t.Errorf("%d resource plans, want 3: orphans stay", n)
	}
	// Lost records change nothing: targets tell whose they are.
	x.Since = x.Since.Add(time.Hour)
	lost := begun(t, k, t.TempDir())
	ensured(t, lost, x)
	if report := lost.Reports(p.Key())["intents"]; report.Orphaned != 3 || report.Sources != 2 {
		t.Errorf("without records: %+v", report)
	}
}

func TestUndoRemovesOnlyWhatItCreatedAndNobodyChanged(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{intent: b, cpu: 1}", "{intent: c}")
	p, dir := small(ns), t.TempDir()
	r, x := begun(t, k, dir), task(p)
	ensured(t, r, x)
	change(t, k, "intentprocessings", ns, "i0", `{"spec": {"grown": true}}`)
	k.Delete(t, "IntentProcessing.nephoran.com", ns, "i1")
	back := reconciler.Task{Version: x.Version, From: x.Stop, Stop: x.From, Back: true, Since: x.Since.Add(time.Hour)}
	p.Spec.Phases[1].Rollback.RemoveTransformed = false
	if done, err := r.Undo(t.Context(), back); err != nil || !done.Done {
		t.Fatalf("%+v, %v", done, err)
	}
	if n := len(list(t, k, "intentprocessings", ns)); n != 2 {
		t.Fatalf("%d are left where nobody asked for their removal, want 2", n)
	}
	p.Spec.Phases[1].Rollback.RemoveTransformed = true
	begun(t, k, dir) // another daemon may stand by
	done := undone(t, r, back)
	contains(t, done.Message, "1 kept: IntentProcessing.nephoran.com "+ns+"/i0 was changed since by kubectl-edit")
	left := list(t, k, "intentprocessings", ns)
	if len(left) != 1 || left[0].GetName() != "i0" || len(list(t, k, "resourceplans", ns)) != 0 {
		t.Errorf("left %v", left)
	}
	// The same again is done already, and forward it all is made anew.
	undone(t, r, back)
	x.Since = x.Since.Add(2 * time.Hour)
	ensured(t, r, x)
	if n := len(list(t, k, "intentprocessings", ns)); n != 3 {
		t.Errorf("%d objects, want 3", n)
	}
}

func TestOnlyTheEntryIntoAPhaseTransforms(t *testing.T) {
	p := small("a")
	enter, stop := task(p), plan.Position{Phase: "microservices", Percent: 10}
	for name, c := range map[string]struct {
		task reconciler.Task
		want int
	}{
		"entry":                {enter, 1},
		"first stop of all":    {reconciler.Task{Version: enter.Version, Stop: enter.Stop}, 1},
		"content at its stop":  {reconciler.Task{Version: enter.Version, From: stop, Stop: stop}, 1},
		"within the phase":     {reconciler.Task{Version: enter.Version, From: stop, Stop: plan.Position{Phase: "microservices", Percent: 50}}, 0},
		"backward":             {reconciler.Task{Version: enter.Version, From: plan.Position{Phase: "sunset"}, Stop: enter.Stop, Back: true}, 0},
		"a phase without them": {reconciler.Task{Version: enter.Version, Stop: enter.From}, 0},
	} {
		if got := entered(c.task); len(got) != c.want {
			t.Errorf("%s: %d transforms, want %d", name, len(got), c.want)
		}
	}
	back := func(from, to string) int {
		return len(left(reconciler.Task{Version: enter.Version, From: plan.Position{Phase: from}, Stop: plan.Position{Phase: to}, Back: true}))
	}
	if back("microservices", "monolith") != 1 || back("microservices", "microservices") != 0 {
		t.Error("a backward move takes back the phases that it leaves, and no other")
	}
}

func TestRecordsSurviveAndDamageIsTold(t *testing.T) {
	root, key := t.TempDir(), plan.Key{Namespace: "a", Name: "b"}
	s, err := openStore(root, key, "t")
	must(t, err)
	must(t, s.reset("one"))
	for i := range 2*maxFiles + 10 {
		must(t, s.add([]*record{{Name: fmt.Sprintf("n%d", i%700), UID: fmt.Sprint(i), Read: "x", Targets: []written{{UID: fmt.Sprint(i)}}}}))
	}
	must(t, s.add([]*record{{Name: "n0", Gone: true}}))
	must(t, os.WriteFile(filepath.Join(s.dir, "batch-000009999.jsonl.tmp"), []byte("{torn"), 0o600))
	again, err := openStore(root, key, "t")
	must(t, err)
	if len(again.records) != 699 || again.records["/n1"].UID != "701" || again.records["/n309"].UID != "1009" || again.head.Digest != "one" {
		t.Errorf("%d records, %+v", len(again.records), again.records["/n1"])
	}
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	if len(entries) > maxFiles+1 {
		t.Errorf("%d files", len(entries))
	}
	must(t, again.reset("two"))
	if third, err := openStore(root, key, "t"); err != nil || third.records["/n1"].Read != "" || len(third.records["/n1"].Targets) != 1 {
		t.Errorf("another form of the transform: %v", err)
	}
	entries, err = os.ReadDir(s.dir)
	must(t, err)
	last := filepath.Join(s.dir, entries[0].Name())
	must(t, os.WriteFile(last, []byte(`{"name": "n`), 0o600))
	if _, err := openStore(root, key, "t"); err == nil || !strings.Contains(err.Error(), last) {
		t.Errorf("damage: error %v", err)
	}
}

func TestPreviewWritesNothing(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a}", "{}", "{intent: [1]}")
	c := dryRunner(t, k)
	p := small(ns)
	var got []string
	must(t, c.Preview(context.Background(), p, p.Spec.Phases[1].Transforms[0], func(s Shown) {
		got = append(got, fmt.Sprintf("%s %d %v", strings.TrimPrefix(s.Source, ns), len(s.Targets), s.Err))
	}))
	want := []string{"/i0 1 <nil>", "/i1 0 to[0].object: a field or key that it reads is not there: ask with has(...), or read it as object.?field.orValue(...)", "/i2 1 <nil>"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", got, want)
	}
	if n := len(list(t, k, "intentprocessings", ns)); n != 0 {
		t.Errorf("%d objects were written", n)
	}
}

func TestSamplesAreTheSameEachTime(t *testing.T) {
	n := 0
	for i := range 10_000 {
		uid := fmt.Sprintf("%08x-4b5c", i)
		if once, again := sampled(uid, 10), sampled(uid, 10); once != again || !sampled(uid, 100) || sampled(uid, 0) {
			t.Fatal("a source is compared once and once not")
		}
		if sampled(uid, 10) {
			n++
		}
	}
	if n < 700 || n > 1300 {
		t.Errorf("%d of 10000 are in a sample of 10 %%", n)
	}
}
