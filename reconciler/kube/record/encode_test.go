package record

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// large is a record with this many changes, and holds with evidence.
func large(changes, holds, evidence int) decide.Record {
	rec := numbered(9)
	rec.Changes = nil
	for n := range changes {
		c := decide.Change{Commit: plan.Revision(fmt.Sprintf("%040x", n)), Parent: plan.Revision(fmt.Sprintf("%040x", n-1)), To: at10, Subject: strings.Repeat("s", 72), At: noon}
		rec.Changes = append(rec.Changes, c)
	}
	for n := range holds {
		h := decide.HoldOf{Commit: plan.Revision(fmt.Sprintf("%040x", n)), At: noon}
		h.Evidence = gates.Results{{Key: gates.Key{Name: "errors"}, Detail: strings.Repeat("d", evidence), Values: map[string]float64{"errors": 0.07}}}
		rec.Holds = append(rec.Holds, h)
	}
	return rec
}

func TestTheCopyInTheClusterIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		rec               decide.Record
		changes, evidence int // that are left
	}{
		"usual":                 {large(150, 3, 500), 150, 3},
		"many changes":          {large(1000, 3, 500), 200, 3},
		"much evidence":         {large(300, 100, 8<<10), 200, 0},
		"many holds":            {large(200, 3000, 8<<10), 200, 0},
		"far too many of both":  {large(200, 5200, 10), 100, 0},
		"more than can be held": {large(200, 9000, 10), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &object{}
			for n := range 30 {
				e := entry(n)
				e.Evidence = c.rec.Holds[0].Evidence
				must(t, p.append(e))
			}
			holds := len(c.rec.Holds)
			err := p.setRecord(c.rec)
			n, _ := p.size()
			t.Logf("%d bytes, of them %d of the record; error %v", n, len(p.record), err)
			if fits := n <= maxStatus; fits != (err == nil) || fits != (holds < 9000) {
				t.Errorf("%d bytes, error %v", n, err)
			}
			got, err := decode(p.record)
			must(t, err)
			evidence := 0
			for _, h := range got.Holds {
				if len(h.Evidence) > 0 {
					evidence++
				}
			}
			if len(got.Changes) != c.changes || got.Changes[len(got.Changes)-1].Commit != c.rec.Changes[len(c.rec.Changes)-1].Commit {
				t.Errorf("%d changes are left, want the newest %d", len(got.Changes), c.changes)
			}
			if evidence != c.evidence || len(got.Holds) != holds || got.Serial != 9 || got.Applied == nil {
				t.Errorf("%d holds with evidence are left, want %d; %d holds", evidence, c.evidence, len(got.Holds))
			}
		})
	}
}

func TestWhatWasWrittenIsWhatIsRead(t *testing.T) {
	for _, rec := range []decide.Record{{}, conformance.SampleRecord(3), large(10, 2, 10)} {
		b, err := encode(bounded(rec))
		must(t, err)
		s := api.MigrationPlanStatus{Record: raw(b), RecordSerial: rec.Serial, RecordDigest: digest(b)}
		// As the API server lays it out.
		text, err := json.Marshal(s)
		must(t, err)
		var generic map[string]any
		must(t, json.Unmarshal(text, &generic))
		text, err = json.Marshal(generic)
		must(t, err)
		var back api.MigrationPlanStatus
		must(t, json.Unmarshal(text, &back))
		got, again, ok, err := recordIn(back)
		if diff := cmp.Diff(rec, got); diff != "" || !ok || err != nil || string(again) != string(b) {
			t.Errorf("ok %v, error %v, (-want +got):\n%s", ok, err, diff)
		}
	}
}

func TestAStatusComesBackFromTheObject(t *testing.T) {
	rec := conformance.SampleRecord(1)
	b, err := encode(bounded(rec))
	must(t, err)
	s := reconciler.Status{
		Key: plan.Key{Namespace: "a", Name: "b"}, Declared: at25, Effective: at10, Since: rec.Applied.Since, State: reconciler.StateHalted,
		Decision: decide.Decision{Reason: decide.Halted, Message: "m", Next: at25, Blocks: []decide.Block{
			{Reason: decide.Halted, Message: "halted"}, {Reason: decide.Baking, Message: "it bakes", Until: noon.Truncate(time.Second)},
		}},
		Applied: commit,
		Holds:   rec.Holds, Pending: rec.Pending, Move: rec.Move, Halt: rec.Halt,
	}
	if diff := cmp.Diff(s, statusFrom(s.Key, statusOf(s), b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	none := reconciler.Status{Key: s.Key, State: reconciler.StateWaiting}
	if diff := cmp.Diff(none, statusFrom(s.Key, statusOf(none), nil)); diff != "" {
		t.Errorf("of a plan that was not entered (-want +got):\n%s", diff)
	}
}

func TestBlocksAreBounded(t *testing.T) {
	var s reconciler.Status
	for n := range 25 {
		s.Decision.Blocks = append(s.Decision.Blocks, decide.Block{Reason: decide.GateFailed, Message: fmt.Sprint(n, strings.Repeat("ü", maxText))})
	}
	got := statusOf(s).Blocks
	if len(got) != 20 {
		t.Errorf("%d blocks, want 20", len(got))
	}
	for n, b := range got {
		if len(b.Message) > maxText || !strings.HasPrefix(b.Message, fmt.Sprint(n, "ü")) || b.Reason != "GateFailed" {
			t.Errorf("block %d has a message of %d bytes: %.40s", n, len(b.Message), b.Message)
		}
	}
	p := &object{}
	must(t, p.setStatus(s, noon))
	must(t, p.setRecord(large(200, 5200, 10)))
	if n, err := p.size(); err != nil || n > maxStatus || len(p.status.Blocks) > 0 {
		t.Errorf("%d bytes with %d blocks, error %v: blocks go before the record's changes", n, len(p.status.Blocks), err)
	}
}

// Most blocks have values or times in them that are new at every evaluation.
func TestOnlyTheSubstanceOfBlocksIsAReasonToWrite(t *testing.T) {
	status := func(change func(d *decide.Decision)) sum {
		d := decide.Decision{Reason: decide.Baking, Message: "m", Next: at25, Blocks: []decide.Block{
			{Reason: decide.Baking, Message: "gradual@10 bakes for 30m", Until: noon}, {Reason: decide.GateFailed, Message: "errors is 0.07"},
		}}
		change(&d)
		p := &object{}
		must(t, p.setStatus(reconciler.Status{State: reconciler.StateWaiting, Decision: d}, noon))
		_, want := p.wanted("me")
		return want
	}
	before := status(func(*decide.Decision) {})
	for name, c := range map[string]struct {
		change func(d *decide.Decision)
		writes bool
	}{
		"a value":            {func(d *decide.Decision) { d.Blocks[1].Message = "errors is 0.123" }, false},
		"a time":             {func(d *decide.Decision) { d.Blocks[0].Until = noon.Add(time.Minute) }, false},
		"other words":        {func(d *decide.Decision) { d.Blocks[1].Message = "latency is 0.07" }, true},
		"another reason":     {func(d *decide.Decision) { d.Blocks[1].Reason = decide.GateNoData }, true},
		"it no longer ends":  {func(d *decide.Decision) { d.Blocks[0].Until = time.Time{} }, true},
		"one is gone":        {func(d *decide.Decision) { d.Blocks = d.Blocks[:1] }, true},
		"another comes next": {func(d *decide.Decision) { d.Next = at10 }, true},
		"none comes next":    {func(d *decide.Decision) { d.Next = plan.Position{} }, true},
	} {
		if got := status(c.change) != before; got != c.writes {
			t.Errorf("%s: written %v, want %v", name, got, c.writes)
		}
	}
}

func TestTheLargestStatusIsTaken(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	must(t, d.SaveStatus(t.Context(), steady(t, key)))
	rec := large(1000, 50, 8<<10)
	must(t, d.Save(t.Context(), key, rec))
	kubetest.WaitFor(t, "it is written", func() bool { m := live(t, k, key); return m != nil && m.Status.RecordSerial == 9 })
	u := k.Get(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	text, err := json.Marshal(u.Object["status"])
	must(t, err)
	t.Logf("the status has %d bytes", len(text))
	if len(text) < 400<<10 || len(text) > maxStatus+4<<10 {
		t.Errorf("the status has %d bytes, want nearly %d", len(text), maxStatus)
	}
	r, err := New(Options{Inner: &fakes.Recorder{}, Client: d.o.Client, Log: d.o.Log, Now: d.o.Now})
	must(t, err)
	got, ok, err := r.Load(t.Context(), key)
	if diff := cmp.Diff(bounded(rec), got); diff != "" || !ok || err != nil {
		t.Errorf("Load: ok %v, error %v, (-want +got):\n%.2000s", ok, err, diff)
	}
}

func FuzzRecordIn(f *testing.F) {
	b, err := encode(bounded(conformance.SampleRecord(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, int64(0))
	f.Add([]byte("{}"), int64(0))
	f.Add([]byte("null"), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, serial int64) {
		s := api.MigrationPlanStatus{Record: raw(b), RecordSerial: serial, RecordDigest: digest(b)}
		rec, again, ok, err := recordIn(s)
		if err != nil || !ok {
			return
		}
		back, err := decode(again)
		must(t, err)
		if diff := cmp.Diff(rec, back); diff != "" {
			t.Errorf("what was read is not what is written (-read +written):\n%s", diff)
		}
	})
}
