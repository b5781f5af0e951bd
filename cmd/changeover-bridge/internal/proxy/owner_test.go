package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// owners is a table of owners in memory.
type owners struct {
	mu         sync.Mutex
	of         map[string]plan.Side
	unfit      bool
	broken     error // of Record
	refused    error // of CanRecord
	unreadable int
	recorded   chan string // nil: nobody waits
	blocked    string      // the id that is handed over just now
	writes     []string    // what became of writes
}

func (o *owners) Write(id string) (leave func(bool), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id == o.blocked {
		return nil, false
	}
	o.writes = append(o.writes, "begin "+id)
	return func(sure bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.writes = append(o.writes, fmt.Sprintf("end %s %v", id, sure))
	}, true
}

func (o *owners) written() []string { o.mu.Lock(); defer o.mu.Unlock(); return slices.Clone(o.writes) }

func (o *owners) Ready() bool { o.mu.Lock(); defer o.mu.Unlock(); return !o.unfit }

func (o *owners) Owner(id string) (plan.Side, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	side, known := o.of[id]
	return side, known
}

func (o *owners) ModernOwns() bool                { return true }
func (o *owners) Follow(plan.Key, time.Duration)  {}
func (o *owners) CanRecord(context.Context) error { return o.refused }
func (o *owners) Unreadable()                     { o.mu.Lock(); defer o.mu.Unlock(); o.unreadable++ }

func (o *owners) Record(_ context.Context, _ plan.Key, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	o.of[id] = plan.Modern
	if o.recorded != nil {
		o.recorded <- id
	}
	return nil
}

// withOwners starts a bridge before two backends that name themselves; modern
// answers creates by create.
func withOwners(t *testing.T, o *owners, create http.HandlerFunc, rules ...bridge.Rule) *fixture {
	t.Helper()
	o.of = map[string]plan.Side{"l": plan.Legacy, "m": plan.Modern}
	serve := func(name string) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			if name == "modern" && r.Method == "POST" {
				create(w, r)
				return
			}
			io.WriteString(w, name)
		}).URL
	}
	legacy, modern := serve("legacy"), serve("modern")
	f := newFixture(t, legacy, modern, proxy.Options{Owners: o})
	c := configOf(t, legacy, modern, rules...)
	c.Entities = &bridge.Entities{Paths: []string{"/orders/{id}"}, Born: &plan.Born{Methods: []string{"POST"}, Path: "/orders", ID: "body.order.id"}}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	f.serve(c)
	return f
}

func created(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, `{"order": {"id": "new", "name": "x"}}`)
}

func post(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("POST", url, strings.NewReader(`{"name": "x"}`))
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return send(t, r, err)
}

func TestRequestsGoToTheOwner(t *testing.T) {
	f := withOwners(t, &owners{}, created, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	for path, want := range map[string]string{"/orders/m": "modern", "/orders/l": "legacy", "/orders/unknown": "legacy", "/orders": "modern"} {
		res, body := get(t, f.url+path)
		if res.StatusCode != 200 || body != want || res.Header.Get("X-Changeover-Side") != want {
			t.Errorf("%s: %d from %q, want %s", path, res.StatusCode, body, want)
		}
	}
	f.metric(1, "changeover_bridge_owner_lookups_total", "owner=modern")
	f.metric(1, "changeover_bridge_owner_lookups_total", "owner=legacy")
	f.metric(1, "changeover_bridge_owner_lookups_total", "owner=unknown")
}

func TestWritesToAnEntityThatIsHandedOverAreRefused(t *testing.T) {
	o := &owners{blocked: "m"}
	f := withOwners(t, o, created, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	for _, method := range []string{"PUT", "PATCH", "DELETE", "POST"} {
		r, err := http.NewRequest(method, f.url+"/orders/m/notes", strings.NewReader("x"))
		if res, _ := send(t, r, err); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d, Retry-After %q", method, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	if res, body := get(t, f.url+"/orders/m"); res.StatusCode != 200 || body != "modern" {
		t.Errorf("a read is answered %d by %q", res.StatusCode, body)
	}
	r, err := http.NewRequest("PUT", f.url+"/orders/l", strings.NewReader("x"))
	if res, body := send(t, r, err); res.StatusCode != 200 || body != "legacy" {
		t.Errorf("a write to another one is answered %d by %q", res.StatusCode, body)
	}
	f.metric(4, "changeover_bridge_owner_lookups_total", "owner=blocked")
	if got := o.written(); !slices.Equal(got, []string{"begin l", "end l true"}) {
		t.Errorf("the writes were %q", got)
	}
}

// TestAWriteIsUnderWayUntilTheBackendHasAnswered, also where its client has left.
func TestAWriteIsUnderWayUntilTheBackendHasAnswered(t *testing.T) {
	for id, want := range map[string]string{"answered": "end answered true", "broken": "end broken false"} {
		t.Run(id, func(t *testing.T) {
			o := &owners{of: map[string]plan.Side{}}
			begun, answer := make(chan bool, 9), make(chan bool) // it may be tried again
			legacy := backend(t, func(http.ResponseWriter, *http.Request) {
				begun <- true
				<-answer
				if id == "broken" {
					panic(http.ErrAbortHandler)
				}
			}).URL
			f := newFixture(t, legacy, legacy, proxy.Options{Owners: o})
			c := configOf(t, legacy, legacy, bridge.Rule{To: plan.ToLegacy})
			c.Entities = &bridge.Entities{Paths: []string{"/orders/{id}"}}
			var err error
			if c.Hash, err = c.Sum(); err != nil {
				t.Fatal(err)
			}
			f.serve(c)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r, err := http.NewRequestWithContext(ctx, "PUT", f.url+"/orders/"+id, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			left := make(chan bool)
			go func() {
				defer close(left)
				if res, err := plainTransport.RoundTrip(r); err == nil {
					res.Body.Close()
				}
			}()
			<-begun
			leave()
			<-left
			if got := o.written(); !slices.Equal(got, []string{"begin " + id}) {
				t.Errorf("its client has left, and the writes are %q", got)
			}
			close(answer)
			for deadline := time.Now().Add(time.Minute); !slices.Contains(o.written(), want); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the writes are %q, want %q", o.written(), want)
				}
			}
		})
	}
}

func TestABirthIsRecordedBeforeItsClientIsAnswered(t *testing.T) {
	o := &owners{}
	f := withOwners(t, o, created, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	res, body := post(t, f.url+"/orders")
	if res.StatusCode != 201 || body != `{"order": {"id": "new", "name": "x"}}` {
		t.Errorf("the answer is %d %q", res.StatusCode, body)
	}
	if _, body := get(t, f.url+"/orders/new"); body != "modern" {
		t.Errorf("the new one is %s's", body)
	}
}

func TestACreateOnLegacyIsNoBirth(t *testing.T) {
	o := &owners{}
	f := withOwners(t, o, created, bridge.Rule{To: plan.ToLegacy, Match: &plan.Match{Methods: []string{"POST"}}})
	post(t, f.url+"/orders")
	if len(o.of) != 2 || o.unreadable != 0 {
		t.Errorf("owners are %v, %d unreadable", o.of, o.unreadable)
	}
}

func TestAnswersThatAreNoBirths(t *testing.T) {
	squeezed := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			var buf bytes.Buffer
			z := gzip.NewWriter(&buf)
			io.WriteString(z, `{"order": {"id": "new"}}`)
			z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(buf.Bytes())
			return
		}
		io.WriteString(w, `{"order": {"id": "new"}}`)
	}
	say := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }
	}
	for name, c := range map[string]struct {
		path       string
		answer     http.HandlerFunc
		id         string // that is recorded
		unreadable int
		body       int
	}{
		"compressed unless forbidden": {"/orders", squeezed, "new", 0, -1},
		"a number":                    {"/orders", say(200, `{"order": {"id": 12345678901234567890}}`), "12345678901234567890", 0, -1},
		"another path":                {"/orders/l/lines", say(201, `{"order": {"id": "new"}}`), "", 0, -1},
		"a slash at the end":          {"/orders/", say(201, `{"order": {"id": "new"}}`), "new", 0, -1},
		"refused":                     {"/orders", say(422, `{"order": {"id": "new"}}`), "", 0, -1},
		"no id":                       {"/orders", say(201, `{"order": {}}`), "", 1, -1},
		"no object":                   {"/orders", say(201, `{"order": 3}`), "", 1, -1},
		"no JSON":                     {"/orders", say(201, `created`), "", 1, 7},
		"nothing":                     {"/orders", say(204, ``), "", 1, 0},
		"an id with a slash":          {"/orders", say(201, `{"order": {"id": "a/b"}}`), "", 1, -1},
		"endless":                     {"/orders", say(201, strings.Repeat(" ", 3<<20)), "", 1, 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			o := &owners{}
			f := withOwners(t, o, c.answer)
			res, body := post(t, f.url+c.path, "Accept-Encoding: gzip")
			want := 2
			if c.id != "" {
				want = 3
			}
			if _, ok := o.of[c.id]; len(o.of) != want || ok != (c.id != "") || o.unreadable != c.unreadable {
				t.Errorf("owners are %v, %d unreadable", o.of, o.unreadable)
			}
			if c.body >= 0 && len(body) != c.body {
				t.Errorf("answer %d with %d bytes, want %d", res.StatusCode, len(body), c.body)
			}
		})
	}
}

func TestABirthThatCannotBeRecordedIsNotAnswered(t *testing.T) {
	o := &owners{broken: errors.New("disk full")}
	f := withOwners(t, o, created)
	if res, body := post(t, f.url+"/orders"); res.StatusCode != 503 || !strings.Contains(body, "could not be recorded") || strings.Contains(body, "new") {
		t.Errorf("answer %d %q, want 503 without the id", res.StatusCode, body)
	}
	asked := false
	o = &owners{refused: errors.New("disk full")}
	f = withOwners(t, o, func(http.ResponseWriter, *http.Request) { asked = true })
	if res, body := post(t, f.url+"/orders"); res.StatusCode != 503 || asked || !strings.Contains(body, "was not asked") {
		t.Errorf("answer %d %q, modern was asked: %t", res.StatusCode, body, asked)
	}
}

func TestABirthIsRecordedAlsoWhenItsClientHasLeft(t *testing.T) {
	o := &owners{recorded: make(chan string, 1)}
	arrived, left := make(chan struct{}), make(chan struct{})
	f := withOwners(t, o, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-left
		created(w, r)
	})
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", f.url+"/orders", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if res, err := plainTransport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	}()
	<-arrived
	leave()
	<-gone
	close(left)
	select {
	case id := <-o.recorded:
		if id != "new" {
			t.Errorf("recorded %q", id)
		}
	case <-time.After(10 * time.Second):
		t.Error("the birth is lost with its client")
	}
}

func TestWithoutOwnersRequestsForEntitiesWait(t *testing.T) {
	f := withOwners(t, &owners{unfit: true}, created)
	res, _ := get(t, f.url+"/orders/m")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("an entity: %d with %v, want 503 with Retry-After", res.StatusCode, res.Header)
	}
	if res, _ := get(t, f.url+"/other"); res.StatusCode != 200 {
		t.Errorf("another request: %d", res.StatusCode)
	}
	f.metric(1, "changeover_bridge_owner_lookups_total", "owner=not_ready")
}

func TestABridgeThatKnowsNoOwnersRefusesEntities(t *testing.T) {
	f := newFixture(t, "http://127.0.0.1:1", "http://127.0.0.1:1", proxy.Options{})
	c := configOf(t, "http://127.0.0.1:1", "http://127.0.0.1:1")
	c.Entities = &bridge.Entities{Paths: []string{"/orders/{id}"}}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	if err := f.Serve(c); err == nil || !strings.Contains(err.Error(), "--ownership") {
		t.Errorf("error %v, want one that names the flag", err)
	}
}
