package page

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"slices"
	"testing"

	"github.com/changeover-dev/changeover/test/browser"
)

// navigation is when, in milliseconds since the browser set out, the parts of a
// load were done.
type navigation struct {
	RequestStart, ResponseEnd, LoadEventEnd float64
}

const navigated = `(({requestStart, responseEnd, loadEventEnd}) => ({requestStart, responseEnd, loadEventEnd}))(performance.getEntriesByType('navigation')[0])`

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// TestTwoHundredPlans: what the browser loads for them is small, and it is done
// soon. The time is the median of several loads, the daemon's part and the
// browser's told apart; it is bounded strictly where the machine has nothing else
// to do.
func TestTwoHundredPlans(t *testing.T) {
	srv := serve(t, newWorld(many(200)...))
	br := browser.Start(t)
	var whole, daemon, drawn []float64
	for i := range 7 {
		// Each in a test of its own, which ends with its tab: a browser has six
		// connections to a host, and each page holds one for its events.
		t.Run(fmt.Sprint("load ", i), func(t *testing.T) {
			n := load200(t, br, srv.URL)
			whole = append(whole, n.LoadEventEnd)
			daemon = append(daemon, n.ResponseEnd-n.RequestStart)
			drawn = append(drawn, n.LoadEventEnd-n.ResponseEnd)
		})
	}
	if t.Failed() {
		return
	}
	took := median(whole)
	t.Logf("200 plans, median of %d loads: %.0f ms; of that the daemon's answer %.0f ms, the browser after it %.0f ms", len(whole), took, median(daemon), median(drawn))
	bound := 10_000.0
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		bound = 300
	}
	if took <= 0 || took > bound {
		t.Errorf("the median load took %.0f ms, want at most %.0f", took, bound)
	}
}

// load200 loads the list once.
func load200(t *testing.T, br *browser.Browser, url string) navigation {
	t.Helper()
	tab := br.Open(t, browser.Desktop, url+"/")
	tab.Wait(isLive)
	if n := browser.Eval[int](tab, "document.querySelectorAll('.plans tbody tr').length"); n != 200 {
		t.Fatalf("%d plans are listed", n)
	}
	all := int64(0)
	for _, r := range tab.Requests() {
		all += r.Bytes
	}
	if all < 50_000 || all > 300_000 {
		t.Errorf("the page took %d bytes in all, want at most 300,000", all)
	}
	tab.Quiet(url)
	return browser.Eval[navigation](tab, navigated)
}

var picture = flag.String("picture", "", "file to which TestPicture writes the picture for the README")

// TestPicture takes the picture of the README: `make picture`.
func TestPicture(t *testing.T) {
	s := rolledBack()
	s.Work, s.Shadow = nil, nil
	s.Gates = s.Gates[:1:1]
	w := newWorld()
	w.lived(s)
	w.entries[s.Key] = entriesOf(s)
	srv := serve(t, w)
	tab := browser.Start(t).Open(t, browser.Screen{Width: 1120, Height: 1180}, fmt.Sprintf("%s/plans/%s", srv.URL, "migrations/orders"))
	tab.Wait(isLive)
	b := tab.View()
	if img, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || img.Width != 1120 || len(b) > 200_000 {
		t.Errorf("the picture is %d bytes of %d by %d: %v; want a PNG of at most 200,000", len(b), img.Width, img.Height, err)
	}
	if *picture != "" {
		if err := os.WriteFile(*picture, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
