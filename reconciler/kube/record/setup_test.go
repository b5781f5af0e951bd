package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	journal "github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		saveForever()
	}
	os.Exit(kubetest.Main(m, cluster.Options{}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// install is the cluster with the definition.
func install(t testing.TB) *kubetest.Kube {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	return k
}

// counted counts the requests of a client by method, watches apart.
type counted struct {
	mu    sync.Mutex
	count map[string]int
}

// counting is a transport that counts.
type counting struct {
	http.RoundTripper
	c *counted
}

func (c *counted) wrap(next http.RoundTripper) http.RoundTripper { return counting{next, c} }

func (t counting) WrappedRoundTripper() http.RoundTripper { return t.RoundTripper }

func (t counting) RoundTrip(r *http.Request) (*http.Response, error) {
	t.c.mu.Lock()
	what := r.Method
	if r.URL.Query().Has("watch") {
		what = "WATCH"
	}
	t.c.count[what]++
	t.c.mu.Unlock()
	return t.RoundTripper.RoundTrip(r)
}

// all requests that were made.
func (c *counted) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

// since calls f and returns the requests that were made meanwhile. Watches are
// left out: they end and begin anew when the server likes.
func (c *counted) since(f func()) map[string]int {
	c.mu.Lock()
	before := maps.Clone(c.count)
	c.mu.Unlock()
	f()
	c.mu.Lock()
	defer c.mu.Unlock()
	made := map[string]int{}
	for what, n := range c.count {
		if n > before[what] && what != "WATCH" {
			made[what] = n - before[what]
		}
	}
	return made
}

// writes among requests.
func writes(made map[string]int) int {
	return made["PUT"] + made["PATCH"] + made["POST"] + made["DELETE"]
}

// said is a log to search.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.b.Bytes(), []byte(text))
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// daemon is a recorder as a daemon has it.
type daemon struct {
	*Recorder
	log   *said
	calls *counted
	fence chan error
	woken chan plan.Key
	end   func() // of Run
	clock *clock
}

// clock is the real one, moved.
type clock struct {
	mu sync.Mutex
	by time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += by
}

// startWith makes a recorder; Run is for the test to start.
func startWith(t testing.TB, config *rest.Config, inner reconciler.Recorder) *daemon {
	t.Helper()
	return startFrom(t, config, inner, "")
}

// startFrom is startWith for the daemon of a repository.
func startFrom(t testing.TB, config *rest.Config, inner reconciler.Recorder, source string) *daemon {
	t.Helper()
	d := &daemon{log: &said{}, calls: &counted{count: map[string]int{}}, fence: make(chan error, 10), woken: make(chan plan.Key, 1000), clock: &clock{}}
	config = rest.CopyConfig(config)
	config.Wrap(d.calls.wrap)
	c, err := client.New(client.Options{Config: config, UserAgent: "changeover-record-test"})
	must(t, err)
	d.Recorder, err = New(Options{
		Inner: inner, Client: c, Log: slog.New(slog.NewTextHandler(d.log, nil)), Now: d.clock.now,
		Source: source,
		Wake: func(key plan.Key) {
			select {
			case d.woken <- key:
			default: // other tests have plans too
			}
		},
		Fenced: func(err error) { d.fence <- err },
	})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon %s said:\n%s", d.id, d.log)
		}
	})
	return d
}

// run starts Run until the test, or end, ends it.
func (d *daemon) run(t testing.TB) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	var once sync.Once
	d.end = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(d.end)
	return d
}

// open is a journal in a directory.
func open(t testing.TB, dir string) *journal.Dir {
	t.Helper()
	d, err := journal.Open(dir)
	must(t, err)
	t.Cleanup(func() { _ = d.Close() }) // some tests close it themselves
	return d
}

// sample is a plan.
func sample(t testing.TB, key plan.Key) *plan.Plan {
	t.Helper()
	const file = "../../../plan/testdata/good/full.good.yaml"
	src, err := os.ReadFile(file)
	must(t, err)
	doc, problems := plan.Decode(file, src)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	doc.Plan.Metadata = plan.Metadata{Namespace: key.Namespace, Name: key.Name}
	return doc.Plan
}

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	at10 = plan.Position{Phase: "gradual", Percent: 10}
	at25 = plan.Position{Phase: "gradual", Percent: 25}
)

const commit plan.Revision = "0123456789012345678901234567890123456789"

// steady is the status of a plan that waits.
func steady(t testing.TB, key plan.Key) reconciler.Status {
	return reconciler.Status{
		Key: key, Path: "plans/orders.yaml", Plan: sample(t, key), Declared: at25, Effective: at10, Since: noon,
		State: reconciler.StateWaiting, Head: commit, Applied: commit,
		Decision: decide.Decision{
			Verb: decide.Hold, Reason: decide.Baking, Message: "bakes for 30m, 12 of 30 are over; advance errors is 0.07", Next: at25,
			Blocks: []decide.Block{
				{Reason: decide.Baking, Message: "bakes for 30m, 12 of 30 are over", Until: noon.Add(18 * time.Minute)},
				{Reason: decide.GateFailed, Message: "advance errors is 0.07"},
			},
		},
		CheckedAt: noon, GitReadAt: noon,
	}
}

// numbered is a record with a serial.
func numbered(serial int64) decide.Record {
	return decide.Record{
		Serial: serial, Applied: &decide.Applied{Revision: commit, Stop: at10, Since: noon},
		Changes: []decide.Change{{Commit: plan.Revision(fmt.Sprintf("%040x", serial)), To: at10, Raise: true, At: noon}},
	}
}

func entry(n int) reconciler.Entry {
	return reconciler.Entry{
		At: noon.Add(time.Duration(n) * time.Second), Verb: decide.Advance, Reason: decide.GatesPassed, From: at10, To: at25,
		Message: fmt.Sprintf("entry %d", n), Commits: []plan.Revision{commit},
	}
}

// live reads the object; nil where there is none.
func live(t testing.TB, k *kubetest.Kube, key plan.Key) *api.MigrationPlan {
	t.Helper()
	u := k.Lookup(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	if u == nil {
		return nil
	}
	b, err := u.MarshalJSON()
	must(t, err)
	var m api.MigrationPlan
	must(t, json.Unmarshal(b, &m))
	return &m
}

// shows waits until the object shows a serial.
func shows(t testing.TB, k *kubetest.Kube, key plan.Key, serial int64) *api.MigrationPlan {
	t.Helper()
	var m *api.MigrationPlan
	kubetest.WaitFor(t, fmt.Sprintf("%s has serial %d", key, serial), func() bool {
		m = live(t, k, key)
		return m != nil && m.Status.RecordSerial == serial
	})
	return m
}

// edit changes the live object as somebody else.
func edit(t testing.TB, k *kubetest.Kube, key plan.Key, subresource string, change func(*unstructured.Unstructured)) {
	t.Helper()
	plans := k.Dynamic.Resource(api.Resource).Namespace(key.Namespace)
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		u, err := plans.Get(t.Context(), key.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(u)
		if subresource == "status" {
			_, err = plans.UpdateStatus(t.Context(), u, metav1.UpdateOptions{FieldManager: "somebody"})
		} else {
			_, err = plans.Update(t.Context(), u, metav1.UpdateOptions{FieldManager: "somebody"})
		}
		return err
	}))
}
