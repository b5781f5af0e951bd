package bridge_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/bridge"
	render "github.com/changeover-dev/changeover/render/bridge"
)

func planOf(name string) *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: name, Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: "http://127.0.0.1:1"}, Modern: plan.Backend{URL: "http://127.0.0.1:2"}},
			Phases: []plan.Phase{
				{Name: "setup"},
				{Name: "gradual", Percents: []plan.Percent{10, 25, 50}, Routes: []plan.Route{{To: plan.ToSplit}}},
			},
		},
	}
}

func at(percent plan.Percent) plan.Position { return plan.Position{Phase: "gradual", Percent: percent} }

func mark(stop plan.Position) reconciler.Mark {
	return reconciler.Mark{
		Key: plan.Key{Namespace: "default", Name: "so"}, Stop: stop,
		Since: time.Date(2026, 5, 1, 12, 0, 0, 123, time.UTC), Revision: "0123abc", Holds: []plan.Revision{"dead"},
	}
}

// replica is a bridge in as few lines as can be: it reads the file whenever it
// is asked.
type replica struct {
	*httptest.Server
	mode  atomic.Value // follows, stuck, refuses, hangs, fails
	asked atomic.Int64
	last  string // hash that it serves
}

func newReplica(t testing.TB, file, mode string) *replica {
	r := new(replica)
	r.mode.Store(mode)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked.Add(1)
		r.answer(w, q, file)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *replica) answer(w http.ResponseWriter, q *http.Request, file string) {
	src, err := os.ReadFile(file)
	switch c, bad := render.ParseConfig(src); r.mode.Load() {
	case "hangs":
		<-q.Context().Done()
		return
	case "fails":
		w.WriteHeader(500)
		return
	case "refuses":
		w.Header().Set(render.HeaderRejected, render.Digest(src))
		w.Header().Set(render.HeaderError, "parse bridge config: version is 1, this bridge reads 0")
	case "follows":
		if err == nil && bad == nil && q.URL.Path == render.VersionPath(c.Plan.Name) {
			r.last = c.Hash
		}
	}
	if r.last == "" {
		w.WriteHeader(503)
		return
	}
	fmt.Fprintln(w, r.last)
}

type fixture struct {
	*bridge.Gateway
	t        *testing.T
	file     string
	replicas []*replica
}

func newFixture(t *testing.T, modes ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, file: filepath.Join(t.TempDir(), "bridge.json")}
	var urls []string
	for _, mode := range modes {
		r := newReplica(t, f.file, mode)
		f.replicas = append(f.replicas, r)
		urls = append(urls, r.URL)
	}
	var err error
	f.Gateway, err = bridge.New(bridge.Options{
		Store: bridge.File(f.file), Replicas: bridge.URLs(urls), Timeout: 300 * time.Millisecond, Probe: 100 * time.Millisecond, Interval: 2 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) apply(stop plan.Position) error {
	return f.Apply(f.t.Context(), planOf("so"), mark(stop))
}

func (f *fixture) applied(stop plan.Position) {
	f.t.Helper()
	if err := f.apply(stop); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) fails(err, want error, texts ...string) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Fatalf("error %v, want %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			f.t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func (f *fixture) isAt(stop plan.Position) {
	f.t.Helper()
	src, err := os.ReadFile(f.file)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := render.ParseConfig(src)
	if err != nil {
		f.t.Fatal(err)
	}
	if c.Stop != stop {
		f.t.Errorf("the file is at %s, want %s", c.Stop, stop)
	}
}

func (f *fixture) observe(stop plan.Position) reconciler.TrafficState {
	f.t.Helper()
	s, err := f.Observe(f.t.Context(), planOf("so"), stop)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) stat() fs.FileInfo {
	f.t.Helper()
	info, err := os.Stat(f.file)
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

func TestApplyWritesTheFileAndWaitsForEveryReplica(t *testing.T) {
	f := newFixture(t, "follows", "stuck")
	f.replicas[1].mode.Store("stuck")
	go func() {
		time.Sleep(50 * time.Millisecond)
		f.replicas[1].mode.Store("follows")
	}()
	f.applied(at(25))
	if n := f.replicas[1].asked.Load(); n < 2 {
		t.Errorf("the slow replica was asked %d times, want until it follows", n)
	}
	s := f.observe(at(25))
	m := mark(at(25))
	want := reconciler.TrafficState{Mark: &m, Serving: true, Hash: s.Hash}
	if d := cmp.Diff(want, s); d != "" || len(s.Hash) != 32 {
		t.Errorf("state (-want +got), hash %q:\n%s", s.Hash, d)
	}
	if mode := f.stat().Mode().Perm(); mode != 0o644 {
		t.Errorf("the file has mode %o, want 644 so that a bridge of another user reads it", mode)
	}
	left, err := os.ReadDir(filepath.Dir(f.file))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, want the config alone", left)
	}
}

func TestApplyingTheSameAgainWritesNothing(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(25))
	before := f.stat()
	f.applied(at(25))
	f.observe(at(25))
	if after := f.stat(); !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the file was written again")
	}
}

func TestAMarkAloneIsWrittenWithTheSameHash(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(25))
	before, hash := f.stat(), f.observe(at(25)).Hash
	m := mark(at(25))
	m.Holds = append(m.Holds, "beef")
	if err := f.Apply(t.Context(), planOf("so"), m); err != nil {
		t.Fatal(err)
	}
	s := f.observe(at(25))
	if s.Hash != hash || !s.Serving || !slices.Equal(s.Mark.Holds, m.Holds) {
		t.Errorf("state %+v, want the new holds and hash %s", s, hash)
	}
	if os.SameFile(before, f.stat()) {
		t.Error("the mark was not written by a rename")
	}
}

func TestASilentReplicaIsReportedAndNeverBlocksARollback(t *testing.T) {
	for _, c := range []struct{ mode, says string }{
		{"hangs", "does not answer in time"},
		{"fails", "answers with status 500"},
		{"stuck", "still serves"},
	} {
		f := newFixture(t, "follows", "follows")
		f.applied(at(50))
		f.replicas[1].mode.Store(c.mode)
		err := f.apply(at(10))
		f.fails(err, bridge.ErrNotObserved, f.replicas[1].URL+" "+c.says, "the config is written and stays")
		if strings.Contains(err.Error(), f.replicas[0].URL) {
			t.Errorf("error %q names the replica that follows", err)
		}
		f.isAt(at(10))
		s := f.observe(at(10))
		if s.Serving || s.Mark == nil || s.Mark.Stop != at(10) || !strings.Contains(s.Message, f.replicas[1].URL) {
			t.Errorf("state %+v, want the mark, not serving, and who is silent", s)
		}
		f.replicas[1].mode.Store("follows")
		f.applied(at(10))
	}
}

func TestAReplicaThatIsDownIsNamed(t *testing.T) {
	f := newFixture(t, "follows", "follows")
	f.replicas[1].Close()
	f.fails(f.apply(at(10)), bridge.ErrNotObserved, f.replicas[1].URL+" cannot be reached: dial: connect: connection refused")
	f.isAt(at(10))
}

func TestARefusedStepForwardIsPutBack(t *testing.T) {
	f := newFixture(t, "follows", "follows")
	f.applied(at(10))
	before, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	f.replicas[1].mode.Store("refuses")
	f.fails(f.apply(at(25)), bridge.ErrRejected,
		f.replicas[1].URL+" says: parse bridge config: version is 1, this bridge reads 0", "the old config is put back and served")
	after, err := os.ReadFile(f.file)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file is not the old one (error %v):\n%s", err, after)
	}
}

func TestARefusedFirstConfigIsTakenAway(t *testing.T) {
	f := newFixture(t, "refuses")
	f.fails(f.apply(at(10)), bridge.ErrRejected, "no config was there before")
	if _, err := os.Stat(f.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused file is still there (%v)", err)
	}
}

func TestARefusedStepBackwardStays(t *testing.T) {
	f := newFixture(t, "follows", "follows")
	f.applied(at(50))
	f.replicas[1].mode.Store("refuses")
	f.fails(f.apply(at(10)), bridge.ErrRejected, "the config stays for those that take it")
	f.isAt(at(10))
}

func TestARollbackToAPlanThatDoesNotKnowTheStopStays(t *testing.T) {
	f := newFixture(t, "follows", "follows")
	newer := planOf("so")
	newer.Spec.Phases[1].Percents = []plan.Percent{10, 25, 50, 75}
	if err := f.Apply(t.Context(), newer, mark(at(75))); err != nil {
		t.Fatal(err)
	}
	f.replicas[1].mode.Store("refuses")
	f.fails(f.apply(at(50)), bridge.ErrRejected, "stays")
	f.isAt(at(50))
}

func TestARefusalOfAnOlderFileDoesNotCount(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(10))
	// It says that it refuses a file, but another one, and then follows.
	f.replicas[0].mode.Store("stuck")
	time.AfterFunc(50*time.Millisecond, func() { f.replicas[0].mode.Store("follows") })
	f.replicas[0].Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set(render.HeaderRejected, render.Digest([]byte("older")))
		f.replicas[0].answer(w, q, f.file)
	})
	f.applied(at(25))
}

func TestOneBridgeServesOnePlan(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(10))
	err := f.Apply(t.Context(), planOf("other"), mark(at(10)))
	if err == nil || !strings.Contains(err.Error(), `the bridge serves plan "default/so"`) {
		t.Errorf("error %v, want a refusal", err)
	}
	f.isAt(at(10))
	s, err := f.Observe(t.Context(), planOf("other"), at(10))
	if err != nil || s.Mark != nil || s.Serving || !strings.Contains(s.Message, `of plan "default/so"`) {
		t.Errorf("state %+v, error %v", s, err)
	}
}

func TestDriftIsSeenAndMended(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(10))
	for _, c := range []struct {
		name, says string
		spoil      func(src string) string
	}{
		{"edited", "edited or damaged", func(s string) string { return strings.Replace(s, `"percent": 10`, `"percent": 90`, 1) }},
		{"emptied", "is no config", func(string) string { return "" }},
		{"cut off", "is no config", func(s string) string { return s[:100] }},
	} {
		src, err := os.ReadFile(f.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.file, []byte(c.spoil(string(src))), 0o644); err != nil {
			t.Fatal(err)
		}
		if s := f.observe(at(10)); s.Serving || s.Mark != nil || !strings.Contains(s.Message, c.says) {
			t.Errorf("%s: state %+v, want it to say %q", c.name, s, c.says)
		}
		f.applied(at(10))
		if s := f.observe(at(10)); !s.Serving {
			t.Errorf("%s: after Apply %+v", c.name, s)
		}
	}
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	if s := f.observe(at(10)); s.Serving || s.Mark != nil || !strings.Contains(s.Message, "does not exist") || s.Hash == "" {
		t.Errorf("removed: state %+v, want what is still served", s)
	}
}

func TestObserveTellsAnotherStopApart(t *testing.T) {
	f := newFixture(t, "follows")
	p := planOf("so")
	p.Spec.Phases = append(p.Spec.Phases, plan.Phase{Name: "again"}) // routes as setup does
	if err := f.Apply(t.Context(), p, mark(plan.Position{Phase: "setup"})); err != nil {
		t.Fatal(err)
	}
	s, err := f.Observe(t.Context(), p, plan.Position{Phase: "again"})
	if err != nil || s.Serving || !strings.Contains(s.Message, "is of stop setup, not again") {
		t.Errorf("state %+v, error %v, want it not to be at again", s, err)
	}
	if _, err := f.Observe(t.Context(), p, plan.Position{Phase: "nowhere"}); err == nil {
		t.Error("a stop off the itinerary was observed")
	}
}
