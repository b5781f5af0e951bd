package plan_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/counts"
)

func windows(ws ...plan.Window) *plan.Plan {
	p := &plan.Plan{}
	p.Spec.Windows = ws
	return p
}

func TestWindows(t *testing.T) {
	const berlin = "Europe/Berlin"
	office := plan.Window{Allow: "Mon-Fri 09:00-16:00", Timezone: berlin}
	freeze := plan.Window{Deny: "2026-12-20/2027-01-04", Timezone: berlin, Reason: "freeze"}
	for _, c := range []struct {
		name       string
		windows    []plan.Window
		now, until string // until empty: open
	}{
		{"none", nil, "2026-12-01T03:00:00Z", ""},
		{"in office hours of the zone", []plan.Window{office}, "2026-12-01T08:00:00Z", ""},
		{"before them", []plan.Window{office}, "2026-12-01T07:59:59Z", "2026-12-01T08:00:00Z"},
		{"at their end", []plan.Window{office}, "2026-12-01T15:00:00Z", "2026-12-02T08:00:00Z"},
		{"on a Saturday", []plan.Window{office}, "2026-12-05T10:00:00Z", "2026-12-07T08:00:00Z"},
		{"in summer", []plan.Window{office}, "2026-07-01T07:00:00Z", ""},
		{"over the change of the clock", []plan.Window{office}, "2026-10-23T20:00:00Z", "2026-10-26T08:00:00Z"},
		{"in a freeze", []plan.Window{office, freeze}, "2026-12-22T10:00:00Z", "2027-01-05T08:00:00Z"},
		{"the last hour of a freeze", []plan.Window{freeze}, "2027-01-04T22:59:59Z", "2027-01-04T23:00:00Z"},
		{"before a freeze", []plan.Window{freeze}, "2026-12-19T22:59:59Z", ""},
		{"over midnight", []plan.Window{{Allow: "Fri 22:00-02:00"}}, "2026-12-05T01:59:00Z", ""},
		{"after midnight", []plan.Window{{Allow: "Fri 22:00-02:00"}}, "2026-12-05T02:00:00Z", "2026-12-11T22:00:00Z"},
		{"days over the end of the week", []plan.Window{{Allow: "Sat-Mon"}}, "2026-12-07T23:59:00Z", ""},
		{"a denied time of the week", []plan.Window{{Deny: "Fri 12:00-24:00"}}, "2026-12-04T12:00:00Z", "2026-12-05T00:00:00Z"},
		{"a range that is over", []plan.Window{{Allow: "2026-11-01/2026-11-02"}}, "2026-12-01T00:00:00Z", "never"},
		{"all of it denied", []plan.Window{office, {Deny: "Sun-Sat"}}, "2026-12-01T10:00:00Z", "never"},
	} {
		t.Run(c.name, func(t *testing.T) {
			open, why, until := windows(c.windows...).WindowsAt(at(t, c.now))
			got := until.UTC().Format(time.RFC3339)
			switch {
			case open:
				got = ""
			case until.IsZero():
				got = "never"
			}
			if got != c.until {
				t.Errorf("got %q (%s), want %q", got, why, c.until)
			}
			if open == (why != "") {
				t.Errorf("open %t, but why is %q", open, why)
			}
		})
	}
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWindowsOpenWhenTheySay goes through the minutes one by one until they open,
// or close.
func TestWindowsOpenWhenTheySay(t *testing.T) {
	zones := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"})
	days := rapid.SampledFrom([]string{"Mon-Fri", "Sat,Sun", "Wed", "Fri-Mon"})
	start := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	counts.Rapid(t, 100, 15)
	rapid.Check(t, func(t *rapid.T) {
		var ws []plan.Window
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			text := fmt.Sprintf("%s %02d:%02d-%02d:30", days.Draw(t, "days"), rapid.IntRange(0, 23).Draw(t, "from"),
				rapid.SampledFrom([]int{0, 15}).Draw(t, "minute"), rapid.IntRange(0, 23).Draw(t, "to"))
			if rapid.IntRange(0, 3).Draw(t, "range") == 0 {
				from := start.AddDate(0, 0, rapid.IntRange(0, 9).Draw(t, "first"))
				text = from.Format(time.DateOnly) + "/" + from.AddDate(0, 0, rapid.IntRange(0, 5).Draw(t, "days")).Format(time.DateOnly)
			}
			w := plan.Window{Timezone: zones.Draw(t, "zone"), Allow: text}
			if rapid.Bool().Draw(t, "deny") {
				w.Allow, w.Deny = "", text
			}
			ws = append(ws, w)
		}
		p := windows(ws...)
		now := start.Add(time.Duration(rapid.IntRange(0, 10*24*60).Draw(t, "now")) * time.Minute)
		open, _, until := p.WindowsAt(now)
		if !until.IsZero() { // to the second, whatever the loop steps over
			if last, _, _ := p.WindowsAt(until.Add(-time.Second)); last != open {
				t.Fatalf("%+v at %s: it changes before %s", ws, now, until)
			}
			if next, _, _ := p.WindowsAt(until); next == open {
				t.Fatalf("%+v at %s: it does not change at %s", ws, now, until)
			}
		}
		for m := now; m.Before(now.AddDate(0, 0, 16)); m = m.Add(15 * time.Minute) {
			over := !until.IsZero() && !m.Before(until)
			if ok, _, _ := p.WindowsAt(m); ok != (open != over) {
				t.Fatalf("%+v at %s: open at %s is %t, but it said %s", ws, now, m, ok, until)
			} else if over {
				return
			}
		}
	})
}

// A time of the week that another denies in a zone of its own opens in the hour
// by which that zone changes its offset, long after a week.
func TestWindowsOpenWhenAZoneChangesItsOffset(t *testing.T) {
	p := windows(plan.Window{Allow: "Sat,Sun 07:00-08:30"}, plan.Window{Deny: "Fri-Mon 03:00-19:30", Timezone: "America/New_York"})
	if _, _, until := p.WindowsAt(at(t, "2026-10-20T00:15:00Z")); !until.Equal(at(t, "2026-11-01T07:00:00Z")) {
		t.Errorf("it opens at %s", until)
	}
}
