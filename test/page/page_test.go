package page

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/browser"
)

// isLive is true once the script has taken over and hears the daemon.
const isLive = "document.getElementById('drawn')?.textContent.startsWith('Live')"

func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("the page lacks %q; it says:\n%s", p, text)
		}
	}
}

// scenes are pages in every state that people meet.
func scenes(t *testing.T) (one *httptest.Server, none *httptest.Server) {
	b, r, q := blocked(), rollingBack(), rolledBack()
	w := newWorld(many(5)...)
	for _, s := range []reconciler.Status{b, r, q} {
		w.lived(s)
		w.entries[s.Key] = entriesOf(q)
	}
	return serve(t, w), serve(t, newWorld())
}

// TestPages opens every kind of page on both screens, light and dark: what it
// must say is there, axe finds nothing serious, nothing is wider than a phone,
// nobody else is asked, and the browser has nothing to complain of.
func TestPages(t *testing.T) {
	one, none := scenes(t)
	br := browser.Start(t)
	for name, c := range map[string]struct {
		url  string
		says []string
	}{
		"list":    {one.URL + "/", []string{"need a person", "onap-so", "RollingBack", "gradual@25", "Git: gradual@50"}},
		"no plan": {none.URL + "/", []string{"No plan yet.", "changeover init"}},
		"blocked": {one.URL + "/plans/migrations/onap-so", []string{
			"Holds at gradual 25 %.", "1 of 1 approvals of operations is missing", "(in 5h48m)", "Blocks: must be true before the plan leaves gradual 25 %.", "limit 0.01",
			"for 12m", "Not known, which is never a pass.", "24.91 % modern of 48,184 requests", "8,312 of 12,400 done", "99.87 %", "declared in Git", "What to do"}},
		"rolling back": {one.URL + "/plans/migrations/payments", []string{
			"Rolls back from gradual 50 % to gradual 25 %.", "many-errors of gradual@50 is breached", "the traffic is moved", "moving here", "Breached: the plan goes back.",
			"A revert to gradual@25 is not on the watched branch yet."}},
		"rolled back": {one.URL + "/plans/migrations/orders", []string{"what Git declares was rolled back", "changeover unhold", "undone by e0a7f19ce0", "rolls back 57c4e49b2a"}},
		"no such":     {one.URL + "/plans/a/b", []string{"No such plan"}},
	} {
		for i, screen := range []browser.Screen{browser.Desktop, {Width: 390, Height: 844, Dark: true}} {
			t.Run(fmt.Sprint(name, ", ", []string{"desktop", "phone, dark"}[i]), func(t *testing.T) {
				tab := br.Open(t, screen, c.url)
				if name != "no such" {
					tab.Wait(isLive)
				}
				wantAll(t, tab.Text(), c.says...)
				if wide := browser.Eval[int64](tab, "document.documentElement.scrollWidth"); wide > screen.Width {
					t.Errorf("the page is %d wide on a screen of %d", wide, screen.Width)
				}
				axe(t, tab)
				if name == "no such" {
					tab.Expect(404)
				}
				tab.Quiet(c.url)
			})
		}
	}
}

// violation is what axe reports.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML string `json:"html"`
	} `json:"nodes"`
}

// axe has axe-core look at the page: nothing may be worse than minor.
func axe(t *testing.T, tab *browser.Tab) {
	t.Helper()
	src, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	found := browser.Eval[string](tab, string(src)+`;axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify({violations: r.violations, passes: r.passes.length}))`)
	var out struct {
		Violations []violation
		Passes     int
	}
	if err := json.Unmarshal([]byte(found), &out); err != nil {
		t.Fatal(err)
	}
	if out.Passes < 10 {
		t.Errorf("axe looked at next to nothing: %d rules passed", out.Passes)
	}
	for _, v := range out.Violations {
		if v.Impact != "minor" {
			t.Errorf("axe: %s (%s): %s at %v", v.ID, v.Impact, v.Help, v.Nodes)
		}
	}
}

func TestAxeFindsWhatIsWrong(t *testing.T) {
	one, _ := scenes(t)
	tab := browser.Start(t).Open(t, browser.Desktop, one.URL+"/")
	browser.Eval[bool](tab, "document.querySelector('h1').setAttribute('style', 'color: #fafafa') || true")
	var asked struct{ Violations []violation }
	src, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	found := browser.Eval[string](tab, string(src)+`;document.querySelector('h1').replaceWith(Object.assign(document.createElement('img'), {src: ''}));axe.run().then(r => JSON.stringify(r))`)
	if err := json.Unmarshal([]byte(found), &asked); err != nil {
		t.Fatal(err)
	}
	for _, v := range asked.Violations {
		if v.ID == "image-alt" {
			return
		}
	}
	t.Errorf("an image without a text was not found: %v", asked.Violations)
}

func TestThePageReadsWholeWithoutScripts(t *testing.T) {
	one, _ := scenes(t)
	tab := browser.Start(t).Open(t, browser.Screen{Width: 1280, Height: 900, NoScript: true}, one.URL+"/plans/migrations/onap-so")
	text := tab.Text()
	wantAll(t, text, "Load again for news.", "Holds at gradual 25 %.", "few-errors", "onap-so: move on to gradual@50", "99.87 %")
	if strings.Contains(text, "does not answer") {
		t.Error("it says that the daemon is lost")
	}
	for _, r := range tab.Requests() {
		if strings.Contains(r.URL, "/events") {
			t.Errorf("it asked %s", r.URL)
		}
	}
	tab.Quiet(one.URL)
}

func TestNewsArriveByThemselvesAndTheReaderKeepsTheirPlace(t *testing.T) {
	s := rolledBack()
	w := newWorld()
	w.lived(s)
	w.entries[s.Key] = entriesOf(s)
	srv := serve(t, w)
	tab := browser.Start(t).Open(t, browser.Desktop, srv.URL+"/plans/migrations/orders")
	tab.Wait(isLive)
	// A reader is at a link far down, and a part that does not change stays.
	browser.Eval[bool](tab, `document.querySelector('#c-57c4e49b2a a').focus() || (document.getElementById('history').mine = 1) && true`)
	before := browser.Eval[float64](tab, "window.scrollY")
	if before == 0 {
		t.Fatal("the page did not scroll to the link: the test shows nothing")
	}
	s.State, s.Holds = reconciler.StateHalted, nil
	s.Halt = &decide.HaltOf{Reason: decide.TooManyRollbacks, Message: "3 rollbacks within a day", At: noon}
	w.clock(30 * time.Second)
	w.put(s)
	tab.Wait("document.body.innerText.includes('3 rollbacks within a day')")
	wantAll(t, tab.Text(), "Halted at gradual 25 % until a person acts.", "As of 2026-11-28 03:12:30 UTC")
	tab.Wait("document.title === 'migrations/orders: Halted - Changeover' && document.getElementById('said').textContent === document.title")
	if browser.Eval[string](tab, "document.activeElement.textContent") != "e0a7f19ce0" {
		t.Error("the reader lost the place")
	}
	// The list hears of it too.
	list := browser.Start(t).Open(t, browser.Phone, srv.URL+"/")
	list.Wait(isLive)
	s.State, s.Halt = reconciler.StateSteady, nil
	w.put(s)
	list.Wait("document.querySelector('.badge').textContent === 'Steady'")
	tab.Quiet(srv.URL)
	list.Quiet(srv.URL)
}

func TestADaemonThatIsLostIsSaidAndSoIsItsReturn(t *testing.T) {
	b := blocked()
	w := newWorld(b)
	srv := serve(t, w)
	address := srv.Listener.Addr().String()
	tab := browser.Start(t).Open(t, browser.Desktop, srv.URL+"/plans/migrations/onap-so")
	tab.Wait(isLive)
	if browser.Eval[bool](tab, "!document.getElementById('lost').hidden") {
		t.Error("it says that the daemon is lost, which it is not")
	}
	srv.CloseClientConnections()
	srv.Listener.Close()
	srv.CloseClientConnections()
	tab.Wait("!document.getElementById('lost').hidden")
	wantAll(t, tab.Text(), "The daemon does not answer since", "Below is what it last knew, at 2026-11-28 03:12:00 UTC", "Traffic stays as it was", "Not live.", "Holds at gradual 25 %.")
	axe(t, tab)

	b.State = reconciler.StateSuspended
	w2 := newWorld(b)
	serveAt(t, w2, address)
	tab.Wait("document.getElementById('lost').hidden && document.body.innerText.includes('Suspended at gradual 25 %')")
	tab.Wait(isLive)
}

func TestByKeyboardAlone(t *testing.T) {
	one, _ := scenes(t)
	tab := browser.Start(t).Open(t, browser.Desktop, one.URL+"/")
	tab.Wait(isLive)
	focus := func() string {
		return browser.Eval[string](tab, "(document.activeElement.getAttribute('href') || document.activeElement.getAttribute('aria-label') || document.activeElement.id || '')")
	}
	tab.Do(chromedp.KeyEvent(kb.Tab))
	if got := focus(); got != "#main" {
		t.Fatalf("the first Tab leads to %q, not past the header", got)
	}
	if shown := browser.Eval[bool](tab, "document.activeElement.getBoundingClientRect().left >= 0"); !shown {
		t.Error("the way past the header cannot be seen")
	}
	tab.Do(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
	if got := focus(); got != "#need" {
		t.Fatalf("after the header comes %q", got)
	}
	for n := 0; focus() != "/plans/migrations/payments"; n++ {
		if n > 40 {
			t.Fatal("Tab never leads to the plan")
		}
		tab.Do(chromedp.KeyEvent(kb.Tab))
		if outline := browser.Eval[string](tab, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
			t.Errorf("where the focus is cannot be seen at %q", focus())
		}
	}
	tab.Do(chromedp.KeyEvent(kb.Enter))
	tab.Wait("location.pathname === '/plans/migrations/payments' && " + isLive)
	seen := map[string]bool{}
	for range 12 {
		tab.Do(chromedp.KeyEvent(kb.Tab))
		seen[focus()] = true
	}
	for _, want := range []string{"/", "Itinerary, from the first stop to the last", "#c-57c4e49b2a"} {
		if !seen[want] {
			t.Errorf("Tab never led to %q; it led to %v", want, seen)
		}
	}
}
