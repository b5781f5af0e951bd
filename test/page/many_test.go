package page

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/browser"
)

// TestTwoHundredPlans: what the browser loads for them is small, and it is done
// soon. The time is bounded strictly where the machine has nothing else to do.
func TestTwoHundredPlans(t *testing.T) {
	srv := serve(t, newWorld(many(200)...))
	br := browser.Start(t)
	best := time.Hour
	for range 5 {
		tab := br.Open(t, browser.Desktop, srv.URL+"/")
		tab.Wait(isLive)
		if n := browser.Eval[int](tab, "document.querySelectorAll('.plans tbody tr').length"); n != 200 {
			t.Fatalf("%d plans are listed", n)
		}
		ms := browser.Eval[float64](tab, "performance.getEntriesByType('navigation')[0].loadEventEnd")
		best = min(best, time.Duration(ms*float64(time.Millisecond)))
		all := int64(0)
		for _, r := range tab.Requests() {
			all += r.Bytes
		}
		if all < 50_000 || all > 300_000 {
			t.Errorf("the page took %d bytes in all, want at most 300,000", all)
		}
		t.Logf("200 plans: %d bytes in all, loaded after %.0f ms", all, ms)
		tab.Quiet(srv.URL)
	}
	bound := 10 * time.Second
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		bound = 300 * time.Millisecond
	}
	if best > bound {
		t.Errorf("the fastest of five loads took %s, want at most %s", best, bound)
	}
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
