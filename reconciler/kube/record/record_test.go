package record

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// evaluate does what a daemon does that has entered a stop.
func evaluate(t testing.TB, d *daemon, key plan.Key, serial int64) {
	t.Helper()
	must(t, d.Save(t.Context(), key, numbered(serial)))
	must(t, d.Append(t.Context(), key, entry(int(serial))))
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
}

func TestTheObjectShowsWhatKubectlUsersLookFor(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 7)
	m := shows(t, k, key, 7)
	s := m.Status
	if diff := cmp.Diff(m.Spec, sample(t, key).Spec); diff != "" {
		t.Errorf("the spec is not that of Git:\n%s", diff)
	}
	if got := m.Annotations; got[api.PathAnnotation] != "plans/orders.yaml" || got["changeover.dev/revision"] != string(commit) {
		t.Errorf("annotations: %v", got)
	}
	if s.Phase != "gradual" || *s.Percent != 10 || s.State != "Waiting" || s.Reason != "Baking" || s.Declared != "gradual@25" ||
		s.Effective != "gradual@10" || s.Revision != string(commit) || s.Applied != string(commit) || s.ObservedGeneration != m.Generation ||
		!s.Since.Time.Equal(noon.Truncate(time.Second)) || len(s.History) != 1 || s.RecordedBy != d.id {
		t.Errorf("status: %+v", s)
	}
	if b := s.Blocks; s.Next != "gradual@25" || len(b) != 2 || b[0].Reason != "Baking" || b[0].Until == nil ||
		!b[0].Until.Time.Equal(noon.Add(18*time.Minute).Truncate(time.Second)) ||
		b[1].Reason != "GateFailed" || b[1].Message != "advance errors is 0.07" || b[1].Until != nil {
		t.Errorf("next is %q, blocks: %+v", s.Next, b)
	}
	for kind, want := range map[string]string{"Ready": "False", "Progressing": "True", "Degraded": "False", "Blind": "False", "Invalid": "False"} {
		c := find(s.Conditions, kind)
		if c == nil || string(c.Status) != want || c.ObservedGeneration != m.Generation {
			t.Errorf("condition %s is %+v, want %s", kind, c, want)
		}
	}
	k.Kubectl(t, "wait", "mplan/onap-so", "--namespace="+key.Namespace, "--for=condition=Progressing", "--timeout=5s")
}

func TestEverythingComesBackFromTheCluster(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	rec := conformance.SampleRecord(1)
	rec.Serial = 41
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	must(t, d.Save(t.Context(), key, rec))
	var entries []reconciler.Entry
	for n := range 25 {
		e := entry(n)
		e.Evidence = rec.Holds[0].Evidence
		must(t, d.Append(t.Context(), key, e))
		entries = append(entries, e)
	}
	s := steady(t, key)
	s.Holds, s.Pending, s.Move, s.Halt = rec.Holds, rec.Pending, rec.Move, rec.Halt
	must(t, d.SaveStatus(t.Context(), s))
	shows(t, k, key, 41)
	d.end()

	fresh := startWith(t, k.Config, &fakes.Recorder{})
	back, ok, err := fresh.LoadStatus(t.Context(), key)
	if err != nil || !ok || back.Pending == nil || back.Pending.Attempts != 2 || len(back.Holds[0].Evidence) != 1 || back.Path != s.Path {
		t.Errorf("LoadStatus before Load: ok %v, error %v, %+v", ok, err, back)
	}
	d = startWith(t, k.Config, open(t, t.TempDir()))
	keys, err := d.Keys(t.Context())
	must(t, err)
	if !slices.Contains(keys, key) {
		t.Errorf("Keys: %v lack %s", keys, key)
	}
	got, ok, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(rec, got); diff != "" || !ok || err != nil {
		t.Errorf("Load: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}
	h, err := d.History(t.Context(), key, 100)
	if diff := cmp.Diff(entries[5:], h); diff != "" || err != nil {
		t.Errorf("History: error %v, (-want +got):\n%s", err, diff)
	}
	if h, _ = d.History(t.Context(), key, 3); len(h) != 3 || h[2].Message != "entry 24" {
		t.Errorf("the newest three: %v", h)
	}
	back, ok, err = d.LoadStatus(t.Context(), key)
	want := s
	want.Plan, want.Head, want.CheckedAt, want.GitReadAt = nil, "", time.Time{}, time.Time{}
	want.Decision.Verb, want.Since = "", noon.Truncate(time.Second)
	want.Decision.Blocks = slices.Clone(want.Decision.Blocks)
	for i := range want.Decision.Blocks { // times in an object are whole seconds
		until := &want.Decision.Blocks[i].Until
		*until = until.Truncate(time.Second)
	}
	if rec.Applied.Since.Equal(noon) {
		want.Since = noon
	}
	if diff := cmp.Diff(want, back); diff != "" || !ok || err != nil {
		t.Errorf("LoadStatus: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}

	d.run(t)
	must(t, d.Append(t.Context(), key, entry(30)))
	kubetest.WaitFor(t, "the history goes on", func() bool {
		h := live(t, k, key).Status.History
		return len(h) == 20 && h[19].Message == "entry 30" && h[18].Message == "entry 24"
	})
	h, err = d.History(t.Context(), key, 100)
	if err != nil || len(h) != 20 || h[19].Message != "entry 30" {
		t.Errorf("History after one more: %d entries, %v", len(h), err)
	}
}

func TestEverythingComesBackFromTheJournal(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	dir := t.TempDir()
	inner := open(t, dir)
	d := startWith(t, k.Config, inner).run(t)
	evaluate(t, d, key, 3)
	first := shows(t, k, key, 3)
	d.end()
	must(t, inner.Close())
	k.Delete(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)

	d = startWith(t, k.Config, open(t, dir)).run(t)
	rec, ok, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(numbered(3), rec); diff != "" || !ok || err != nil {
		t.Fatalf("Load: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	m := shows(t, k, key, 3)
	if m.UID == first.UID || string(m.Status.Record.Raw) != string(first.Status.Record.Raw) {
		t.Errorf("the record is %s, was %s", m.Status.Record.Raw, first.Status.Record.Raw)
	}
}

func TestADeletedObjectIsMadeAgainFromMemory(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 3)
	before := shows(t, k, key, 3)
	k.Kubectl(t, "delete", "migrationplan", key.Name, "--namespace="+key.Namespace)
	m := shows(t, k, key, 3)
	ignore := func(s api.MigrationPlanStatus) api.MigrationPlanStatus {
		s.ObservedGeneration = 0
		s.Conditions = slices.Clone(s.Conditions)
		for i := range s.Conditions {
			s.Conditions[i].ObservedGeneration = 0
		}
		return s
	}
	if diff := cmp.Diff(ignore(before.Status), ignore(m.Status)); diff != "" || m.UID == before.UID {
		t.Errorf("UID was %s, is %s; the status (-was +is):\n%s", before.UID, m.UID, diff)
	}
	if d.UID(key) != m.UID {
		t.Errorf("UID tells %s, want %s", d.UID(key), m.UID)
	}
	must(t, d.Save(t.Context(), key, numbered(4)))
	shows(t, k, key, 4)
}

func TestAnObjectThatWentWhileNobodyWatchedIsMadeAgain(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}) // it does not watch yet
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	must(t, d.Save(t.Context(), key, numbered(3)))
	k.Delete(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	d.run(t)
	shows(t, k, key, 3)
}

func TestEditsByOthersArePutRight(t *testing.T) { //nolint:tparallel // its cases share what comes before them
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 3)
	shows(t, k, key, 3)
	set := func(v any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) { must(t, unstructured.SetNestedField(u.Object, v, path...)) }
	}
	want := sample(t, key).Spec
	for name, c := range map[string]struct {
		sub    string
		change func(*unstructured.Unstructured)
		check  func(*api.MigrationPlan) bool
	}{
		"a value":      {"", set(true, "spec", "suspend"), func(m *api.MigrationPlan) bool { return cmp.Equal(m.Spec, want) }},
		"one more key": {"", set(map[string]any{"query": "up"}, "spec", "signals", "mine"), func(m *api.MigrationPlan) bool { return cmp.Equal(m.Spec, want) }},
		"the path": {"", set("elsewhere", "metadata", "annotations", api.PathAnnotation),
			func(m *api.MigrationPlan) bool { return m.Annotations[api.PathAnnotation] == "plans/orders.yaml" }},
		"the phase":      {"status", set("sunset", "status", "phase"), func(m *api.MigrationPlan) bool { return m.Status.Phase == "gradual" }},
		"the whole":      {"status", func(u *unstructured.Unstructured) { delete(u.Object, "status") }, func(m *api.MigrationPlan) bool { return m.Status.RecordSerial == 3 }},
		"the generation": {"status", set(int64(1), "status", "observedGeneration"), func(m *api.MigrationPlan) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			d.clock.move(time.Hour) // somebody who does it again and again waits
			edit(t, k, key, c.sub, c.change)
			kubetest.WaitFor(t, "it is put right", func() bool {
				m := live(t, k, key)
				return c.check(m) && m.Status.ObservedGeneration == m.Generation
			})
		})
	}
	edit(t, k, key, "", set("mine", "metadata", "labels", "team"))
	made := d.calls.since(func() { time.Sleep(500 * time.Millisecond) })
	if writes(made) > 0 || live(t, k, key).Labels["team"] != "mine" {
		t.Errorf("a label of somebody is not left alone: %v", made)
	}
	must(t, d.Save(t.Context(), key, numbered(4)))
	if live(t, k, key).Status.RecordSerial != 4 {
		t.Error("after the edits a record is not saved at once")
	}
}

func TestAnEditAndItsUndoingAreObserved(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}) // it does not watch yet
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	must(t, d.Save(t.Context(), key, numbered(1)))
	before := live(t, k, key).Generation
	edit(t, k, key, "", func(u *unstructured.Unstructured) {
		must(t, unstructured.SetNestedField(u.Object, true, "spec", "suspend"))
	})
	edit(t, k, key, "", func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "spec", "suspend") })
	d.run(t)
	kubetest.WaitFor(t, "the generation is observed", func() bool {
		m := live(t, k, key)
		return m.Generation == before+2 && m.Status.ObservedGeneration == m.Generation
	})
}

func TestWhoEditsAgainAndAgainIsAnsweredSlower(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 3)
	shows(t, k, key, 3)
	made := d.calls.since(func() {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if u := live(t, k, key); !u.Spec.Suspend {
				edit(t, k, key, "", func(u *unstructured.Unstructured) {
					must(t, unstructured.SetNestedField(u.Object, true, "spec", "suspend"))
				})
			}
		}
	})
	t.Logf("requests in five seconds: %v", made)
	if n := made["PATCH"]; n < 1 || n > 5 {
		t.Errorf("%d edits were put right in five seconds, want some and at most 5", n)
	}
}

func TestTheSpecFollowsGit(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 3)
	first := shows(t, k, key, 3)

	s := steady(t, key)
	s.Head = plan.Revision(strings.Repeat("a", 40)) // a commit that leaves the plan alone
	must(t, d.SaveStatus(t.Context(), s))
	s.Plan = sample(t, key)
	s.Plan.Spec.Position, s.Declared = plan.Position{Phase: s.Plan.Spec.Phases[0].Name}, plan.Position{Phase: s.Plan.Spec.Phases[0].Name}
	s.Plan.Spec.Phases = slices.Clone(s.Plan.Spec.Phases)
	slices.Reverse(s.Plan.Spec.Phases)
	s.Head = plan.Revision(strings.Repeat("b", 40))
	must(t, d.SaveStatus(t.Context(), s))
	var m *api.MigrationPlan
	kubetest.WaitFor(t, "the spec is that of the new commit", func() bool {
		m = live(t, k, key)
		return m.Status.Revision == string(s.Head) && m.Status.ObservedGeneration == m.Generation
	})
	if diff := cmp.Diff(s.Plan.Spec, m.Spec); diff != "" || m.Generation != first.Generation+1 || m.Annotations["changeover.dev/revision"] != string(s.Head) {
		t.Errorf("generation was %d, is %d, annotations %v; the spec (-want +got):\n%s", first.Generation, m.Generation, m.Annotations, diff)
	}

	gone := s
	gone.Plan, gone.State, gone.Decision.Reason = nil, reconciler.StateOrphaned, decide.Orphaned
	must(t, d.SaveStatus(t.Context(), gone))
	kubetest.WaitFor(t, "it is orphaned", func() bool { return live(t, k, key).Status.State == "Orphaned" })
	if m := live(t, k, key); !cmp.Equal(m.Spec, s.Plan.Spec) || m.Status.Revision != string(s.Head) {
		t.Errorf("the plan that is gone from Git changed: %+v", m)
	}
}

func TestNothingIsWrittenWhereNothingChanges(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	dir := t.TempDir()
	inner := open(t, dir)
	d := startWith(t, k.Config, inner).run(t)
	evaluate(t, d, key, 3)
	shows(t, k, key, 3)
	same := func() {
		for n := range 20 {
			s := steady(t, key)
			s.CheckedAt, s.GitReadAt = s.CheckedAt.Add(time.Hour), s.GitReadAt.Add(time.Hour)
			s.Head = plan.Revision(strings.Repeat(string(rune('a'+n%6)), 40)) // commits of others
			b := s.Decision.Blocks
			b[0].Message, b[0].Until = "bakes for 30m, "+strings.Repeat("1", n+1)+" of 30 are over", time.Now()
			b[1].Message = "advance errors is 0." + strings.Repeat("1", n+1)
			s.Decision.Message = b[0].Message + "; " + b[1].Message
			s.Decision.RecheckAt = time.Now()
			d.clock.move(time.Minute)
			must(t, d.SaveStatus(t.Context(), s))
			must(t, d.Save(t.Context(), key, numbered(3)))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(3 * time.Second) // whatever is delayed
	}
	time.Sleep(3 * time.Second)
	if made := d.calls.since(same); len(made) > 0 {
		t.Errorf("a quiet plan made requests: %v", made)
	}
	version := live(t, k, key).ResourceVersion
	d.end()
	must(t, inner.Close())

	d = startWith(t, k.Config, open(t, dir)).run(t)
	made := d.calls.since(func() {
		_, _, err := d.Load(t.Context(), key)
		must(t, err)
		same()
	})
	if writes(made) > 0 || live(t, k, key).ResourceVersion != version {
		t.Errorf("after a restart a quiet plan made requests: %v", made)
	}
	if m := live(t, k, key); m.Status.Revision != string(commit) {
		t.Errorf("revision is %s, want that at which the spec was first seen", m.Status.Revision)
	}
}

func TestALookAloneWritesNothing(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	time.Sleep(3 * time.Second)
	made := d.calls.since(func() {
		p := d.object(key)
		p.mu.Lock()
		p.lost = true
		p.mu.Unlock()
		d.after(key, 0)
		time.Sleep(time.Second)
	})
	if diff := cmp.Diff(map[string]int{"GET": 1}, made); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	edit(t, k, key, "", func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"team": "mine"}) })
	must(t, d.Save(t.Context(), key, numbered(2)))
	if h := live(t, k, key).Status.History; len(h) != 1 {
		t.Errorf("the history has %d entries, want one: %v", len(h), h)
	}
}

func TestWritesOfOneEvaluationGoTogether(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	kubetest.WaitFor(t, "the watch has begun", func() bool { return d.calls.all()["WATCH"] > 0 })
	_, _, err := d.Load(t.Context(), key)
	must(t, err)
	first := d.calls.since(func() {
		evaluate(t, d, key, 1)
		shows(t, k, key, 1)
		time.Sleep(3 * time.Second)
	})
	if diff := cmp.Diff(map[string]int{"PATCH": 1, "PUT": 1}, first); diff != "" {
		t.Errorf("requests of the first evaluation (-want +got):\n%s", diff)
	}
	later := d.calls.since(func() {
		must(t, d.Save(t.Context(), key, numbered(2)))
		must(t, d.Append(t.Context(), key, entry(2)))
		s := steady(t, key)
		s.State = reconciler.StateProgressing
		must(t, d.SaveStatus(t.Context(), s))
		time.Sleep(3 * time.Second)
	})
	if diff := cmp.Diff(map[string]int{"PUT": 2}, later); diff != "" {
		t.Errorf("requests of a later evaluation (-want +got):\n%s", diff)
	}
}

// TestAStatusThatSaysNothingNewEndsNoWaiting: what comes after one is gathered as
// before, also where the watch has the object looked at meanwhile.
func TestAStatusThatSaysNothingNewEndsNoWaiting(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	time.Sleep(3 * time.Second)
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	time.Sleep(time.Second) // it was looked at
	made := d.calls.since(func() {
		must(t, d.Append(t.Context(), key, entry(2)))
		d.after(key, 0)
		time.Sleep(500 * time.Millisecond)
		s := steady(t, key)
		s.State = reconciler.StateProgressing
		must(t, d.SaveStatus(t.Context(), s))
		time.Sleep(3 * time.Second)
	})
	if diff := cmp.Diff(map[string]int{"PUT": 1}, made); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestWhatIsLeftIsWrittenAsTheDaemonStops(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	s := steady(t, key)
	s.State = reconciler.StateSuspended
	must(t, d.SaveStatus(t.Context(), s))
	d.end()
	if got := live(t, k, key).Status.State; got != "Suspended" {
		t.Errorf("as Run returned the state is %s", got)
	}
}

func TestAPlanThatNobodyAskedForIsTold(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	other := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	for deadline := time.After(time.Minute); ; {
		select {
		case got := <-other.woken:
			if got == key {
				return
			}
		case <-deadline:
			t.Fatal("Wake was not told")
		}
	}
}

func TestAnObjectThatIsNobodysIsLeftAlone(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "mine"}
	b, err := json.Marshal(sample(t, key))
	must(t, err)
	k.Apply(t, key.Namespace, string(b))
	d := startWith(t, k.Config, open(t, t.TempDir())).run(t)
	keys, err := d.Keys(t.Context())
	must(t, err)
	if slices.Contains(keys, key) {
		t.Error("Keys lists an object without a record")
	}
	if made := d.calls.since(func() { time.Sleep(time.Second) }); writes(made) > 0 {
		t.Errorf("requests: %v", made)
	}
}

// TestTheNewerCopyCounts: copies come apart where one of the two could not be
// written.
func TestTheNewerCopyCounts(t *testing.T) { //nolint:tparallel // its cases share what comes before them
	t.Parallel()
	k := install(t)
	for name, c := range map[string]struct{ journal, cluster, want int64 }{
		"the cluster is ahead": {3, 5, 5}, "the journal is ahead": {5, 3, 5}, "they are the same": {4, 4, 4}, "the journal is empty": {0, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
			d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
			evaluate(t, d, key, c.cluster)
			shows(t, k, key, c.cluster)
			d.end()
			inner := &fakes.Recorder{}
			if c.journal > 0 {
				must(t, inner.Save(t.Context(), key, numbered(c.journal)))
			}
			d = startWith(t, k.Config, inner).run(t)
			rec, ok, err := d.Load(t.Context(), key)
			if err != nil || !ok || rec.Serial != c.want {
				t.Fatalf("Load: serial %d, ok %v, error %v, want serial %d", rec.Serial, ok, err, c.want)
			}
			must(t, d.SaveStatus(t.Context(), steady(t, key)))
			shows(t, k, key, c.want)
			must(t, d.Save(t.Context(), key, numbered(c.want+1)))
			shows(t, k, key, c.want+1)
		})
	}
}

func TestADamagedRecordIsNeverAnEmptyOne(t *testing.T) { //nolint:tparallel // its cases share what comes before them
	t.Parallel()
	k := install(t)
	set := func(v any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) { must(t, unstructured.SetNestedField(u.Object, v, path...)) }
	}
	for name, damage := range map[string]func(*unstructured.Unstructured){
		"an unknown field": set(true, "status", "record", "armed"),
		"another stop":     set("sunset", "status", "record", "applied", "stop", "phase"),
		"another type":     set("text", "status", "record", "changes"),
		"another serial":   set(int64(99), "status", "recordSerial"),
		"no checksum":      func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "status", "recordDigest") },
		"no record":        func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "status", "record") },
	} {
		t.Run(name, func(t *testing.T) {
			key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
			inner := &fakes.Recorder{}
			d := startWith(t, k.Config, inner).run(t)
			evaluate(t, d, key, 3)
			shows(t, k, key, 3)
			d.end()
			edit(t, k, key, "status", damage)
			version := live(t, k, key).ResourceVersion

			empty := startWith(t, k.Config, &fakes.Recorder{}).run(t)
			_, ok, err := empty.Load(t.Context(), key)
			if ok || !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "status.record of MigrationPlan "+key.String()) {
				t.Errorf("Load with an empty journal: ok %v, error %v", ok, err)
			}
			must(t, empty.SaveStatus(t.Context(), steady(t, key)))
			time.Sleep(time.Second)
			if live(t, k, key).ResourceVersion != version {
				t.Error("what could not be loaded was written over")
			}
			empty.end()

			good := startWith(t, k.Config, inner).run(t)
			rec, ok, err := good.Load(t.Context(), key)
			if diff := cmp.Diff(numbered(3), rec); diff != "" || !ok || err != nil {
				t.Fatalf("Load with a good journal: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
			}
			must(t, good.SaveStatus(t.Context(), steady(t, key)))
			kubetest.WaitFor(t, "the cluster has a good copy again", func() bool {
				_, _, ok, err := recordIn(live(t, k, key).Status)
				return ok && err == nil
			})
			select {
			case err := <-good.fence:
				t.Errorf("it was fenced: %v", err)
			default:
			}
		})
	}
}

func TestADamagedJournalIsReplacedByTheCluster(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	dir := t.TempDir()
	inner := open(t, dir)
	d := startWith(t, k.Config, inner).run(t)
	evaluate(t, d, key, 3)
	shows(t, k, key, 3)
	d.end()
	must(t, inner.Close())
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "record.json" {
			err = os.WriteFile(path, []byte("{"), 0o600)
		}
		return err
	}))
	d = startWith(t, k.Config, open(t, dir))
	rec, ok, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(numbered(3), rec); diff != "" || !ok || err != nil {
		t.Fatalf("Load: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}
	if d.log.count("the journal cannot be read") != 1 {
		t.Error("the log does not tell of the journal")
	}
	k.Delete(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	d = startWith(t, k.Config, d.o.Inner)
	if _, ok, err := d.Load(t.Context(), key); ok || err == nil {
		t.Errorf("Load of a damaged journal alone: ok %v, error %v", ok, err)
	}
}

func TestConditionsKeepTheirTimesOverARestart(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	inner := &fakes.Recorder{}
	d := startWith(t, k.Config, inner).run(t)
	evaluate(t, d, key, 1)
	before := shows(t, k, key, 1).Status.Conditions
	d.end()
	p := k.Proxy(t, "")
	config, err := kubetest.ReadKubeconfig(p.Kubeconfig)
	must(t, err)
	for _, loaded := range []bool{true, false} {
		d = startWith(t, config, inner)
		d.clock.move(time.Hour)
		var fault *kubetest.Injected
		if !loaded {
			fault = p.Inject(kubetest.Fault{Code: http.StatusServiceUnavailable})
		}
		_, _, err := d.Load(t.Context(), key)
		must(t, err)
		s := steady(t, key)
		s.Decision.Reason = decide.Paused // something to write
		if !loaded {
			s.Decision.Reason = decide.Cooldown
		}
		must(t, d.SaveStatus(t.Context(), s))
		if fault != nil {
			fault.Lift()
		}
		d.run(t)
		var m *api.MigrationPlan
		kubetest.WaitFor(t, "the reason is shown", func() bool { m = live(t, k, key); return m.Status.Reason == string(s.Decision.Reason) })
		d.end()
		for _, c := range before {
			if now := find(m.Status.Conditions, c.Type); !now.LastTransitionTime.Equal(&c.LastTransitionTime) {
				t.Errorf("loaded %v: condition %s: the time moved from %s to %s", loaded, c.Type, c.LastTransitionTime, now.LastTransitionTime)
			}
		}
	}
}

func TestPlansOfAnotherRepositoryAreLeftAlone(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	mine := startFrom(t, k.Config, open(t, t.TempDir()), "https://git.example.com/a branch main").run(t)
	must(t, mine.Save(t.Context(), key, numbered(3)))
	must(t, mine.SaveStatus(t.Context(), steady(t, key)))
	shows(t, k, key, 3)
	mine.end()

	other := startFrom(t, k.Config, open(t, t.TempDir()), "https://git.example.com/b branch main").run(t)
	keys, err := other.Keys(t.Context())
	if err != nil || slices.Contains(keys, key) {
		t.Errorf("the other daemon finds %v, %v", keys, err)
	}
	if _, _, err := other.Load(t.Context(), key); !errors.Is(err, ErrStranger) || !strings.Contains(err.Error(), "git.example.com/a") {
		t.Errorf("the other daemon loads it: %v", err)
	}
	must(t, other.Save(t.Context(), key, numbered(9))) // in its own journal
	time.Sleep(500 * time.Millisecond)
	shows(t, k, key, 3)
}

// A daemon that was cut off wrote on in its journal. Another took over
// meanwhile: what that one wrote counts, whatever the numbers say.
func TestWhatAnotherDaemonWroteCountsBeforeTheJournal(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	named := func(dir reconciler.Recorder, id string) *daemon {
		d := startWith(t, k.Config, dir)
		d.o.ID, d.id = id, id
		return d.run(t)
	}
	dir := t.TempDir()
	journal := open(t, dir)
	a := named(journal, "a")
	must(t, a.SaveStatus(t.Context(), steady(t, key)))
	must(t, a.Save(t.Context(), key, numbered(3)))
	shows(t, k, key, 3)
	a.end()
	must(t, journal.Save(t.Context(), key, numbered(6))) // cut off

	b := named(open(t, t.TempDir()), "b")
	rec, ok, err := b.Load(t.Context(), key)
	if err != nil || !ok || rec.Serial != 3 {
		t.Fatalf("the other daemon loads serial %d, %v, %v", rec.Serial, ok, err)
	}
	must(t, b.SaveStatus(t.Context(), steady(t, key)))
	must(t, b.Save(t.Context(), key, numbered(4)))
	shows(t, k, key, 4)
	b.end()

	back := named(journal, "a")
	if rec, ok, err := back.Load(t.Context(), key); err != nil || !ok || rec.Serial != 4 {
		t.Errorf("it is back and loads serial %d, %v, %v; want the other daemon's", rec.Serial, ok, err)
	}
	must(t, back.Save(t.Context(), key, numbered(5)))
	shows(t, k, key, 5)
	back.end()

	must(t, journal.Save(t.Context(), key, numbered(8))) // cut off again, and nobody took over
	again := named(journal, "a")
	if rec, ok, err := again.Load(t.Context(), key); err != nil || !ok || rec.Serial != 8 {
		t.Errorf("nobody took over, and it loads serial %d, %v, %v; want its journal's", rec.Serial, ok, err)
	}
}
