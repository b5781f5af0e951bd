package proxy_test

import (
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

// probed is a modern that was given entities past the bridge, and what it was
// asked for by which caller.
type probed struct {
	mu    sync.Mutex
	has   map[string]int // status by path
	asked []string
	slow  chan struct{} // answers wait for it; nil: they do not
}

func (p *probed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Authorization"))
	status, known := p.has[r.URL.Path]
	slow := p.slow
	p.mu.Unlock()
	if slow != nil {
		<-slow
	}
	if !known {
		status = http.StatusNotFound
	}
	w.WriteHeader(status)
	io.WriteString(w, "modern")
}

func (p *probed) take() (asked []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, p.asked = p.asked, nil
	return asked
}

func (p *probed) set(path string, status int) { p.mu.Lock(); defer p.mu.Unlock(); p.has[path] = status }

func withProbe(t *testing.T, o *owners, rules ...bridge.Rule) (*fixture, *probed) {
	t.Helper()
	o.of = map[string]plan.Side{"l": plan.Legacy, "m": plan.Modern}
	p := &probed{has: map[string]int{"/v2/orders/theirs": 200, "/v2/orders/a b": 200, "/v2/orders/secret": 403, "/v2/orders/sick": 500}}
	legacy, modern := says(t, func(*http.Request) string { return "legacy" }), backend(t, p.ServeHTTP).URL
	f := newFixture(t, legacy, modern, proxy.Options{Owners: o})
	c := configOf(t, legacy, modern, rules...)
	c.Entities = &bridge.Entities{Paths: []string{"/orders/{id}"}, Probe: "/v2/orders/{id}"}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	f.serve(c)
	return f, p
}

// TestModernIsAskedForWhatNobodyOwns: what it has is its own from then on, and
// what it has not, or does not say, is legacy's.
func TestModernIsAskedForWhatNobodyOwns(t *testing.T) {
	o := &owners{}
	f, p := withProbe(t, o, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	for _, c := range []struct {
		path, by string
		asked    []string
	}{
		{"/orders/l", "legacy", nil},
		{"/orders/m", "modern", []string{"GET /orders/m Bearer x"}},
		{"/orders/theirs/tasks", "modern", []string{"GET /v2/orders/theirs Bearer x", "GET /orders/theirs/tasks Bearer x"}},
		{"/orders/theirs", "modern", []string{"GET /orders/theirs Bearer x"}}, // recorded: no asking again
		{"/orders/a%20b", "modern", []string{"GET /v2/orders/a%20b Bearer x", "GET /orders/a%20b Bearer x"}},
		{"/orders/nobodys", "legacy", []string{"GET /v2/orders/nobodys Bearer x"}},
		{"/orders/nobodys", "legacy", nil}, // believed for a while
		{"/orders/secret", "legacy", []string{"GET /v2/orders/secret Bearer x"}},
		{"/orders/secret", "legacy", []string{"GET /v2/orders/secret Bearer x"}}, // another caller may be told
		{"/orders/sick", "legacy", []string{"GET /v2/orders/sick Bearer x"}},
	} {
		p.set("/orders/m", 200)
		p.set(strings.ReplaceAll(c.path, "%20", " "), 200)
		res, _ := get(t, f.url+c.path, "Authorization: Bearer x")
		if side, asked := res.Header.Get("X-Changeover-Side"), p.take(); side != c.by || !slices.Equal(asked, c.asked) {
			t.Errorf("%s went to %s and modern was asked %q, want %s and %q", c.path, side, asked, c.by, c.asked)
		}
	}
	if side, _ := o.Owner("theirs"); side != plan.Modern {
		t.Errorf("what modern has is recorded as %q's", side)
	}
	for outcome, n := range map[string]int{"found": 2, "absent": 1, "failed": 3} {
		f.metric(float64(n), "changeover_bridge_owner_probes_total", "outcome="+outcome)
	}
}

// TestWhatOneCallerIsNotShownAnotherMayBe: that modern says 404 to one caller is
// believed for that caller alone.
func TestWhatOneCallerIsNotShownAnotherMayBe(t *testing.T) {
	f, p := withProbe(t, &owners{}, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	p.set("/orders/hidden", 200)
	p.set("/v2/orders/hidden", 404)
	if res, _ := get(t, f.url+"/orders/hidden", "Authorization: Bearer stranger"); res.Header.Get("X-Changeover-Side") != "legacy" {
		t.Errorf("a stranger went to %q", res.Header.Get("X-Changeover-Side"))
	}
	p.set("/v2/orders/hidden", 200)
	if res, _ := get(t, f.url+"/orders/hidden", "Authorization: Bearer owner"); res.Header.Get("X-Changeover-Side") != "modern" {
		t.Errorf("who may see it went to %q", res.Header.Get("X-Changeover-Side"))
	}
}

// TestAModernThatDoesNotSayDelaysOnly: the request goes to legacy after at most
// two seconds, and is none of modern's even where it may be.
func TestAModernThatDoesNotSayDelaysOnly(t *testing.T) {
	f, p := withProbe(t, &owners{}, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	p.slow = make(chan struct{})
	defer close(p.slow)
	begun := time.Now()
	res, body := get(t, f.url+"/orders/theirs")
	if took := time.Since(begun); res.StatusCode != 200 || body != "legacy" || took < time.Second {
		t.Errorf("%d by %q after %s, want 200 by legacy after two seconds", res.StatusCode, body, took)
	}
}

// TestWhatCouldNotBeRecordedIsAskedAgain and goes to modern all the same: it is
// there.
func TestWhatCouldNotBeRecordedIsAskedAgain(t *testing.T) {
	o := &owners{broken: fmt.Errorf("the disk is full")}
	f, p := withProbe(t, o, bridge.Rule{To: plan.ToOwner, Match: &plan.Match{PathPrefix: "/orders/"}})
	p.set("/orders/theirs", 200)
	for range 2 {
		if res, _ := get(t, f.url+"/orders/theirs"); res.Header.Get("X-Changeover-Side") != "modern" {
			t.Errorf("went to %q", res.Header.Get("X-Changeover-Side"))
		}
		if asked := p.take(); len(asked) != 2 {
			t.Errorf("modern was asked %q, want to be asked for the entity and then the request", asked)
		}
	}
}
