package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/test/postgres"
)

// migration is a plan with entities, its backends and its config file.
type migration struct {
	t              *testing.T
	legacy, modern string
	file, spool    string
	plan           *plan.Plan
	created        atomic.Int64
}

// newMigration has the stops of the ONAP document: everything on legacy, new ones
// on modern, and the end of legacy.
func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{t: t}
	dir := t.TempDir()
	m.file, m.spool = filepath.Join(dir, "bridge.json"), filepath.Join(dir, "spool")
	side := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Backend", name)
			if name == "modern" && r.Method == "POST" && r.URL.Path == "/deployments" {
				w.WriteHeader(http.StatusCreated)
				fmt.Fprintf(w, `{"id": "new-%d", "status": "PENDING"}`, m.created.Add(1))
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	m.legacy, m.modern = side("legacy"), side("modern")
	deployments := &plan.Match{PathPrefix: "/deployments/"}
	m.plan = &plan.Plan{
		Metadata: plan.Metadata{Name: "so", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: m.legacy}, Modern: plan.Backend{URL: m.modern}},
			Entities: &plan.Entities{
				Match: plan.EntityMatch{Path: "/deployments/{id}"},
				Born:  &plan.Born{Methods: []string{"POST"}, Path: "/deployments", ID: "body.id"},
			},
			Phases: []plan.Phase{
				{Name: "shadow", Routes: []plan.Route{{To: plan.ToLegacy}}},
				{Name: "new-only", Routes: []plan.Route{
					{Match: &plan.Match{Methods: []string{"POST"}, Path: "/deployments"}, To: plan.ToModern},
					{Match: deployments, To: plan.ToOwner},
					{To: plan.ToLegacy},
				}},
				{Name: "sunset", Routes: []plan.Route{
					{Match: &plan.Match{Methods: []string{"DELETE"}}, Respond: &plan.Respond{Status: 410}},
					{To: plan.ToModern},
				}},
			},
		},
	}
	m.at("new-only")
	return m
}

// at puts the config of a phase in place, and returns its hash.
func (m *migration) at(phase string) string {
	m.t.Helper()
	c, err := bridge.Render(m.plan, plan.Position{Phase: phase})
	if err != nil {
		m.t.Fatal(err)
	}
	write(m.t, m.file, c)
	return c.Hash
}

func (m *migration) start(url string, args ...string) *process {
	m.t.Helper()
	return start(m.t, append([]string{"--config", m.file, "--ownership", url, "--ownership-spool", m.spool}, args...)...)
}

// create creates a deployment and returns its id.
func create(t testing.TB, p *process) string {
	t.Helper()
	res, err := http.Post(p.traffic+"/deployments", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 201 {
		t.Fatalf("the create is answered by %d %q, error %v", res.StatusCode, body, err)
	}
	_, after, _ := strings.Cut(string(body), `"id": "`)
	id, _, _ := strings.Cut(after, `"`)
	return id
}

func (p *process) wantBackend(path, want string) {
	p.t.Helper()
	if code, header, body := fetch(p.t, p.traffic+path); code != 200 || header.Get("X-Backend") != want {
		p.t.Errorf("GET %s: %d %q from %q, want %s", path, code, body, header.Get("X-Backend"), want)
	}
}

func TestWhatIsBornOnModernStaysThereAtEveryStop(t *testing.T) {
	m := newMigration(t)
	url := "sqlite://" + filepath.Join(t.TempDir(), "owners.db")
	p := m.start(url)
	id := create(t, p)
	p.wantBackend("/deployments/"+id, "modern")
	p.wantBackend("/deployments/"+id+"/logs", "modern")
	p.wantBackend("/deployments/old", "legacy")

	// A revert to shadow sends everything to legacy but what modern owns.
	p.awaitVersion(m.at("shadow"))
	p.wantBackend("/deployments/"+id, "modern")
	p.wantBackend("/deployments/old", "legacy")

	// It can also still be deleted where legacy's writes are gone.
	p.awaitVersion(m.at("sunset"))
	for path, want := range map[string]int{"/deployments/" + id: 200, "/deployments/old": 410} {
		r, err := http.NewRequest("DELETE", p.traffic+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("DELETE %s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if _, _, body := fetch(t, p.admin+"/healthz"); !strings.Contains(body, `"modern": 1`) || !strings.Contains(body, `"ok"`) {
		t.Errorf("health is %s", body)
	}
}

func TestTheOwnerIsToldToNginx(t *testing.T) {
	m := newMigration(t)
	p := m.start("sqlite://" + filepath.Join(t.TempDir(), "owners.db"))
	id := create(t, p)
	for _, c := range []struct{ query, header, side, owner string }{
		{"?id=" + id, "", "modern", "modern"},
		{"?uri=/deployments/" + id + "/logs", "", "modern", "modern"},
		{"", "X-Original-URI: /deployments/" + id + "?a=b", "modern", "modern"},
		{"?id=nobody", "", "legacy", ""},
		{"?uri=/other", "", "legacy", ""},
		{"?uri=%zz", "", "legacy", ""},
		{"", "", "legacy", ""},
	} {
		for _, base := range []string{p.admin, p.traffic} {
			header := c.header
			if header == "" {
				header = "X-Nothing: 1"
			}
			code, got, _ := fetch(t, base+bridge.OwnerPath+c.query, header)
			if code != 204 || got.Get("X-Changeover-Side") != c.side || got.Get("X-Changeover-Owner") != c.owner {
				t.Errorf("%s %s: %d, side %q, owner %q; want 204, %q, %q", c.query, c.header, code, got.Get("X-Changeover-Side"), got.Get("X-Changeover-Owner"), c.side, c.owner)
			}
		}
	}
}

// TestAnAnsweredBirthSurvivesAKill: whoever got an answer finds what was created
// on modern, also after kill -9 at that moment, with the store up or down.
func TestAnAnsweredBirthSurvivesAKill(t *testing.T) {
	m := newMigration(t)
	url := "sqlite://" + filepath.Join(t.TempDir(), "owners.db")
	for range 5 {
		p := m.start(url)
		id := create(t, p)
		p.signal(syscall.SIGKILL)
		p.awaitExit(10 * time.Second)
		p = m.start(url)
		p.wantBackend("/deployments/"+id, "modern")
		p.signal(syscall.SIGKILL)
		p.awaitExit(10 * time.Second)
	}
}

// TestABirthIsKeptWhileItsAnswerIsHeldUp kills the bridge between modern's answer
// and the client's: the store is locked, so the client waits, and what modern
// created is on disk already.
func TestABirthIsKeptWhileItsAnswerIsHeldUp(t *testing.T) {
	m := newMigration(t)
	server := postgres.Start(t, "-F")
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(postgres.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := server.URL(true)
	p := m.start(url, "--ownership-password-file", secret)
	first := create(t, p)
	unfreeze := server.Freeze()
	answered := make(chan error, 1)
	go func() {
		res, err := http.Post(p.traffic+"/deployments", "application/json", strings.NewReader("{}"))
		if err == nil {
			res.Body.Close()
		}
		answered <- err
	}()
	onDisk := func() bool {
		names, _ := filepath.Glob(filepath.Join(m.spool, "*.jsonl"))
		for _, n := range names {
			if b, err := os.ReadFile(n); err == nil && strings.Contains(string(b), `"new-2"`) {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(20 * time.Second); !onDisk(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the birth is not on disk")
		}
	}
	p.signal(syscall.SIGKILL)
	p.awaitExit(10 * time.Second)
	<-answered
	unfreeze()
	p = m.start(url, "--ownership-password-file", secret)
	p.wantBackend("/deployments/"+first, "modern")
	p.wantBackend("/deployments/new-2", "modern")
	if strings.Contains(p.log(), postgres.Password) {
		t.Error("the log holds the password")
	}
}

func TestBirthsGoOnWhilePostgresIsDown(t *testing.T) {
	m := newMigration(t)
	server := postgres.Start(t, "-F")
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(postgres.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := server.URL(true)
	args := []string{"--ownership-password-file", secret}
	a := m.start(url, args...)
	b := m.start(url, args...)
	first := create(t, a)
	b.awaitBackend("/deployments/"+first, "modern")

	server.Stop()
	second := create(t, a)
	a.wantBackend("/deployments/"+first, "modern")
	a.wantBackend("/deployments/"+second, "modern")
	a.awaitHealth(`"degraded"`)
	if _, _, metrics := fetch(t, a.admin+"/metrics"); !strings.Contains(metrics, "changeover_bridge_owner_store_up 0\n") || !strings.Contains(metrics, "changeover_bridge_owner_spooled_births 1\n") {
		t.Error("the metrics do not tell of the outage")
	}
	// A bridge that starts now knows what it kept itself, and no more: it sends
	// no entity to what may be the wrong side.
	a.signal(syscall.SIGKILL)
	a.awaitExit(10 * time.Second)
	a = m.start(url, args...)
	if code, _, _ := fetch(t, a.traffic+"/deployments/"+first); code != 503 {
		t.Errorf("without owners an entity's request is answered by %d, want 503", code)
	}
	if code, _, _ := fetch(t, a.admin+"/healthz"); code != 503 {
		t.Errorf("health is %d before the owners are known", code)
	}
	server.Run()
	a.awaitBackend("/deployments/"+first, "modern")
	a.awaitBackend("/deployments/"+second, "modern")
	b.awaitBackend("/deployments/"+second, "modern")
	a.awaitHealth(`"ok"`)
	for _, p := range []*process{a, b} {
		if strings.Contains(p.log(), postgres.Password) {
			t.Error("the log holds the password")
		}
	}
	store, err := ownership.Open(url, func() (string, error) { return postgres.Password, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	page, err := store.Changes(t.Context(), m.plan.Key(), 0, 10)
	if err != nil || len(page.Entities) != 2 || page.Entities[1].Origin != ownership.BornModern {
		t.Errorf("the table has %+v, error %v", page.Entities, err)
	}
}

func (p *process) awaitBackend(path, want string) {
	p.t.Helper()
	p.until(want+" answers "+path, func() bool {
		code, header, _ := fetch(p.t, p.traffic+path)
		return code == 200 && header.Get("X-Backend") == want
	})
}

func (p *process) awaitHealth(want string) {
	p.t.Helper()
	p.until("health is "+want, func() bool { _, _, body := fetch(p.t, p.admin+"/healthz"); return strings.Contains(body, want) })
}

func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain until %s:\n%s", what, p.log())
		}
	}
}

func TestOwnershipFlagsAreChecked(t *testing.T) {
	for want, args := range map[string][]string{
		"need --ownership":            {"--ownership-spool", "/x"},
		"needs --ownership-spool":     {"--ownership", "/x.db"},
		"--ownership-password-file":   {"--ownership", "postgres://u:hunter2@h/db", "--ownership-spool", "/x"},
		"want sqlite:///PATH, a path": {"--ownership", "mysql://h/db", "--ownership-spool", "/x"},
	} {
		var out, errs strings.Builder
		code := Main(append([]string{"--config", "/nowhere"}, args...), &out, &errs)
		if code == exitOK || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "hunter2") {
			t.Errorf("%v: exit %d, %q; want %q", args, code, errs.String(), want)
		}
	}
}
