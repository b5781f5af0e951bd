package nginx_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

func TestApplyIsObserved(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	if state := observe(t, g, m.Plan, setup); state.Serving || state.Mark != nil || !strings.Contains(state.Message, "no config of the plan") {
		t.Errorf("before the first Apply it observes %+v", state)
	}
	apply(t, g, m.Plan, setup)
	apply(t, g, m.Plan, at25)
	state := observe(t, g, m.Plan, setup)
	if state.Serving || !strings.Contains(state.Message, "gradual@25, not at setup") {
		t.Errorf("asked for another stop it observes %+v", state)
	}
	changed := *m.Plan
	changed.Spec.Identity = &plan.Identity{ClientIP: true}
	if state := observe(t, g, &changed, at25); state.Serving || !strings.Contains(state.Message, "not what the plan says now") {
		t.Errorf("asked for changed content it observes %+v", state)
	}
	want := mark(at25)
	want.Key = m.Key()
	none := observe(t, g, m.Plan, plan.Position{})
	if d := cmp.Diff(&want, none.Mark); d != "" || none.Serving || none.Hash == "" {
		t.Errorf("asked for none it observes %+v; mark (-want +got):\n%s", none, d)
	}
}

func TestUnchangedApplyTouchesNothing(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at25)
	settle(t, s)
	files, pids := snapshot(t, s.Dir), s.WorkerPIDs()
	apply(t, g, m.Plan, at25)
	if d := cmp.Diff(files, snapshot(t, s.Dir)); d != "" {
		t.Errorf("files (-before +after):\n%s", d)
	}
	if now := s.WorkerPIDs(); !slices.Equal(pids, now) {
		t.Errorf("nginx reloaded: workers %v, then %v", pids, now)
	}
}

func TestMarkIsWrittenWithoutReload(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at25)
	settle(t, s)
	pids := s.WorkerPIDs()
	want := mark(at25)
	want.Key, want.Since, want.Revision = m.Key(), want.Since.Add(time.Hour), plan.Revision(strings.Repeat("b2", 20))
	for range 300 { // more than nginx reads in one comment
		want.Holds = append(want.Holds, want.Revision)
	}
	if err := g.Apply(context10s(t), m.Plan, want); err != nil {
		t.Fatal(err)
	}
	state := observe(t, g, m.Plan, at25)
	if d := cmp.Diff(&want, state.Mark); d != "" || !state.Serving {
		t.Errorf("observes %+v; mark (-want +got):\n%s", state.Message, d)
	}
	if now := s.WorkerPIDs(); !slices.Equal(pids, now) {
		t.Errorf("nginx reloaded: workers %v, then %v", pids, now)
	}
	if out, err := s.Test(); err != nil {
		t.Errorf("nginx refuses the files: %s", out)
	}
}

// settle waits until the workers of before the last reload are gone.
func settle(t testing.TB, s *nginxtest.Server) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(s.WorkerPIDs()) != s.Workers; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nginx has the workers %v, want %d", s.WorkerPIDs(), s.Workers)
		}
	}
}

func TestRefusedConfigIsPutBack(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	bad := *m.Plan
	bad.Spec.Backends.Modern.URL = "http://no-such-host.invalid:8000"

	err := g.Apply(context10s(t), &bad, mark(at10))
	if err == nil || !strings.Contains(err.Error(), "does not resolve") || !strings.Contains(err.Error(), `host not found in upstream "no-such-host.invalid`) {
		t.Errorf("the first Apply with a host that does not resolve: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(s.Dir, "changeover")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the refused first config is still included: %v", err)
	}

	apply(t, g, m.Plan, at10)
	before := observe(t, g, m.Plan, at10)
	if err := g.Apply(context10s(t), &bad, mark(at25)); err == nil || !strings.Contains(err.Error(), "the old config was put back") {
		t.Errorf("Apply with a host that does not resolve: %v", err)
	}
	if d := cmp.Diff(before, observe(t, g, m.Plan, at10)); d != "" {
		t.Errorf("observed (-before +after the refused config):\n%s", d)
	}
	if out, err := s.Test(); err != nil {
		t.Errorf("nginx could not start with what was left: %s", out)
	}
	// A rollback never needs modern's name.
	if err := g.Apply(context10s(t), &bad, mark(setup)); err != nil {
		t.Errorf("going back to legacy while modern's name does not resolve: %v", err)
	}
}

func TestBrokenMainConfigIsSaidInNginxsWords(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	src, err := os.ReadFile(s.Conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Conf, append(src, "nonsense on;\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	err = g.Apply(context10s(t), m.Plan, mark(at25))
	if err == nil || !strings.Contains(err.Error(), `unknown directive "nonsense"`) {
		t.Errorf("Apply: %v", err)
	}
	if state := observe(t, g, m.Plan, at10); !state.Serving {
		t.Errorf("the old config is not in force: %+v", state)
	}
}

func TestHashThatNeverComesIsPutBack(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at10)
	// A reload that fails after the test: another process has the address
	// that the config newly listens on.
	taken := nginxtest.Start(t)
	src, err := os.ReadFile(s.Conf)
	if err != nil {
		t.Fatal(err)
	}
	also := "listen " + strings.TrimPrefix(taken.URL, "http://") + ";\n        listen "
	if err := os.WriteFile(s.Conf, []byte(strings.Replace(string(src), "listen ", also, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	o := options(s)
	o.Wait = 2 * time.Second
	g, err := nginx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	err = g.Apply(context10s(t), m.Plan, mark(at25))
	if err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("Apply: %v", err)
	}
	if state := observe(t, g, m.Plan, at10); !state.Serving {
		t.Errorf("the old config is not in force: %+v", state)
	}
}

func TestWhatWasSeenServedIsNotTakenBackWhenItCannotBeSeen(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	apply(t, g, m.Plan, at25)
	o := options(s)
	o.URL, o.Wait = "http://127.0.0.1:1", time.Second
	blind, err := nginx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := blind.Apply(context10s(t), m.Plan, mark(at25)); err == nil {
		t.Error("Apply saw what it cannot see")
	}
	if state := observe(t, g, m.Plan, at25); !state.Serving {
		t.Errorf("the config that was in force is not any more: %+v", state)
	}
}

func TestStoppedNginxStartsWithTheNewConfig(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	s.Stop()
	state := observe(t, g, m.Plan, at10)
	if state.Serving || !strings.Contains(state.Message, "is it running?") || state.Mark == nil {
		t.Errorf("with nginx stopped it observes %+v", state)
	}
	for range 2 {
		if err := g.Apply(context10s(t), m.Plan, mark(at25)); !errors.Is(err, nginx.ErrNotRunning) {
			t.Errorf("Apply with nginx stopped: %v", err)
		}
	}
	s.Run()
	if state := observe(t, g, m.Plan, at25); !state.Serving {
		t.Errorf("nginx did not start with the new config: %+v", state)
	}
	pids := s.WorkerPIDs()
	apply(t, g, m.Plan, at25)
	if now := s.WorkerPIDs(); !slices.Equal(pids, now) {
		t.Errorf("nginx reloaded for nothing: workers %v, then %v", pids, now)
	}
}

func TestReloadThatWasMissedIsMadeUpFor(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	apply(t, g, m.Plan, at25)
	// Killed between the swap and the reload: the files are at one stop, nginx
	// at another.
	old, err := filepath.Glob(filepath.Join(s.Dir, "changeover.d", "v*"))
	if err != nil || len(old) < 2 {
		t.Fatal(old, err)
	}
	point(t, s, filepath.Base(old[0]))
	if state := observe(t, g, m.Plan, at10); state.Serving || !strings.Contains(state.Message, "not reloaded") {
		t.Errorf("observes %+v", state)
	}
	apply(t, g, m.Plan, at10)
}

func point(t testing.TB, s *nginxtest.Server, version string) {
	t.Helper()
	link := filepath.Join(s.Dir, "changeover")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("changeover.d", version), link); err != nil {
		t.Fatal(err)
	}
}

func TestHandEditIsNoticedAndUndone(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	for name, edit := range map[string]func(path string) error{
		"a directive": func(path string) error {
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(src), "keepalive 64", "keepalive 65", 1)), 0o644)
		},
		"the header": func(path string) error { return os.WriteFile(path, []byte("# mine now\n"), 0o644) },
		"the file":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			apply(t, g, m.Plan, at25)
			if err := edit(filepath.Join(s.Dir, "changeover", "onap-so.upstreams.conf")); err != nil {
				t.Fatal(err)
			}
			if state := observe(t, g, m.Plan, at25); state.Serving || !strings.Contains(state.Message, "by hand") {
				t.Errorf("observes %+v", state)
			}
			apply(t, g, m.Plan, at25)
		})
	}
}

func TestSecondPlanIsRefused(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at25)
	for _, other := range []plan.Metadata{{Name: "nephoran", Namespace: "migrations"}, {Name: "onap-so", Namespace: "elsewhere"}} {
		second := *m.Plan
		second.Metadata = other
		err := g.Apply(context10s(t), &second, mark(at10))
		if err == nil || !strings.Contains(err.Error(), m.Key().String()) || !strings.Contains(err.Error(), second.Key().String()) {
			t.Errorf("Apply of a second plan: %v; want an error that names both", err)
		}
		if state := observe(t, g, &second, at10); state.Serving || state.Mark != nil || !strings.Contains(state.Message, m.Key().String()) {
			t.Errorf("observes %+v of the second plan", state)
		}
	}
	if state := observe(t, g, m.Plan, at25); !state.Serving {
		t.Errorf("the first plan is not served any more: %+v", state)
	}
}

func TestFilesOfOthersAreCarriedOver(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	const text = "location = /mine { return 200 \"mine\"; }\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "changeover", "mine.locations.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	apply(t, g, m.Plan, at25)
	if _, body := do(t, client, "GET", s.URL+"/mine", nil); body != "mine" {
		t.Errorf("another's location answers %q", body)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	o := options(s)
	o.Keep = 3
	g, err := nginx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		apply(t, g, m.Plan, at10)
		apply(t, g, m.Plan, at25)
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir, "changeover.d"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"lock", "proven", "v000004", "v000005", "v000006"}; !slices.Equal(names, want) {
		t.Errorf("changeover.d holds %v, want %v", names, want)
	}
}

func TestWritersTakeTurns(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	errs := make(chan error, 4)
	for i := range cap(errs) {
		g := open(t, s)
		go func() {
			var err error
			for j := range 3 {
				err = errors.Join(err, g.Apply(context10s(t), m.Plan, mark(plan.Position{Phase: "gradual", Percent: percents[(i+j)%len(percents)]})))
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestDeadlineEndsApplyAndPutsBack(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, at10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Apply(ctx, m.Plan, mark(at25)); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply with a context that is over: %v", err)
	}
	if state := observe(t, g, m.Plan, at10); !state.Serving {
		t.Errorf("the old config is not in force: %+v", state)
	}
}

func TestVersionIsForLoopbackOnly(t *testing.T) {
	// The real address of a caller, as behind a load balancer.
	s := nginxtest.New(t, nginxtest.Config{Server: "set_real_ip_from 127.0.0.1; real_ip_header X-Client;"})
	s.Run()
	m := newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, sunset)
	for path, want := range map[string]int{
		"/_changeover/onap-so/version":     403,
		"/_changeover/onap%2Dso//version":  403,
		"/_changeover/onap-so/respond/r0":  404,
		"/x/../_changeover/other/version":  404,
		"/_changeover/":                    404,
		"/%5Fchangeover/onap-so/respond/0": 404,
	} {
		for _, header := range []http.Header{{"X-Client": {"192.0.2.7"}}, {"X-Forwarded-For": {"192.0.2.7"}}, {"Forwarded": {"for=192.0.2.7"}}} {
			resp, body := do(t, client, "GET", s.URL+path, header)
			if resp.StatusCode != want {
				t.Errorf("GET %s with %v: %d %q, want %d", path, header, resp.StatusCode, body, want)
			}
		}
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{})
	for name, change := range map[string]func(*nginx.Options){
		"include folder":   func(o *nginx.Options) { o.Dir = filepath.Join(o.Dir, "none") },
		"config file":      func(o *nginx.Options) { o.Conf = filepath.Join(o.Dir, "none.conf") },
		"want one such as": func(o *nginx.Options) { o.URL = "127.0.0.1:80" },
	} {
		o := options(s)
		change(&o)
		if _, err := nginx.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

func TestReloadByPIDFile(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	o := options(s)
	o.PIDFile = s.PIDFile
	g, err := nginx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, g, m.Plan, at10)
	s.Stop()
	if err := g.Apply(context10s(t), m.Plan, mark(at25)); !errors.Is(err, nginx.ErrNotRunning) {
		t.Errorf("Apply with nginx stopped: %v", err)
	}
}

func BenchmarkUnchanged(b *testing.B) {
	s, m := nginxtest.Start(b), newMigration(b)
	g := open(b, s)
	apply(b, g, m.Plan, at25)
	for name, do := range map[string]func() error{
		"Apply": func() error { return g.Apply(b.Context(), m.Plan, mark(at25)) },
		"Observe": func() error {
			_, err := g.Observe(b.Context(), m.Plan, at25)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
