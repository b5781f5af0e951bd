package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones by name, also where the machine has none
)

// WindowsAt says whether the plan's windows let it move forward at a time, and
// until when that stays so; zero: for ever. Where they do not, why says which one
// keeps it.
func (p *Plan) WindowsAt(now time.Time) (open bool, why string, until time.Time) {
	ws := make([]schedule, 0, len(p.Spec.Windows))
	for _, w := range p.Spec.Windows {
		s, err := w.parse()
		if err != nil { // refused by the decoder
			return false, err.Error(), time.Time{}
		}
		ws = append(ws, s)
	}
	open, why = openAt(ws, now)
	change := func(edges []time.Time) time.Time {
		slices.SortFunc(edges, time.Time.Compare)
		for _, t := range edges {
			if ok, _ := openAt(ws, t); ok != open {
				return t
			}
		}
		return time.Time{}
	}
	soon := edges(ws, []time.Time{now}, 4)
	limit := now.Add(48 * time.Hour)
	until = change(slices.DeleteFunc(soon, limit.Before))
	if until.IsZero() {
		until = change(edges(ws, anchors(ws, now), horizon))
	}
	if until.IsZero() && !open {
		until = change(edges(ws, []time.Time{now}, year)) // zones change their offsets
	}
	return open, why, until
}

// anchors are now and the ends of ranges that are to come.
func anchors(ws []schedule, now time.Time) []time.Time {
	out := []time.Time{now}
	for _, s := range ws {
		for _, t := range []time.Time{s.from, s.to} {
			if t.After(now) {
				out = append(out, t)
			}
		}
	}
	return out
}

// edges are the times after the first anchor at which a window begins or ends: of
// ranges all, of times of the week those in some days after each anchor.
func edges(ws []schedule, anchors []time.Time, days int) []time.Time {
	var out []time.Time
	for _, s := range ws {
		for _, t := range []time.Time{s.from, s.to} {
			if t.After(anchors[0]) {
				out = append(out, t)
			}
		}
		for _, t := range anchors {
			out = append(out, s.edges(t, days)...)
		}
	}
	return out
}

// openAt reports whether a time is in an allowed window, where there are any,
// and in none that is denied.
func openAt(ws []schedule, t time.Time) (bool, string) {
	var allowed []string
	in := false
	for _, s := range ws {
		if s.deny && s.holds(t) {
			return false, s.describe("is denied")
		}
		if !s.deny {
			allowed = append(allowed, s.describe("is allowed"))
			in = in || s.holds(t)
		}
	}
	if len(allowed) > 0 && !in {
		return false, "outside of the windows: " + strings.Join(allowed, ", ")
	}
	return true, ""
}

// schedule is a window as it is judged: a range of time, or times of the week.
type schedule struct {
	text, reason, zone string
	deny               bool
	loc                *time.Location
	from, to           time.Time // of a range: [from, to)
	days               [7]bool   // of the week, by the day on which the time begins
	begin, length      time.Duration
}

func (s schedule) describe(what string) string {
	d := fmt.Sprintf("%s (%s) %s", s.text, s.zone, what)
	if s.reason != "" {
		d += ": " + s.reason
	}
	return d
}

func (s schedule) weekly() bool { return s.from.IsZero() }

func (s schedule) holds(t time.Time) bool {
	if !s.weekly() {
		return !t.Before(s.from) && t.Before(s.to)
	}
	// A time that begins yesterday may last over midnight.
	for back := range 2 {
		begin, end, ok := s.on(t.In(s.loc).AddDate(0, 0, -back))
		if ok && !t.Before(begin) && t.Before(end) {
			return true
		}
	}
	return false
}

// on is the window that begins on the day of t. Clock times are those of the
// zone, also on the days on which its offset changes.
func (s schedule) on(t time.Time) (begin, end time.Time, ok bool) {
	if !s.days[t.Weekday()] {
		return time.Time{}, time.Time{}, false
	}
	clock := func(d time.Duration) time.Time {
		y, m, day := t.Date()
		return time.Date(y, m, day, int(d/time.Hour), int(d%time.Hour/time.Minute), 0, 0, s.loc)
	}
	return clock(s.begin), clock(s.begin + s.length), true
}

// horizon is for how many days times of the week are looked at, as each comes
// again within a week. Those of several zones may meet only when one of them
// changes its offset: year.
const (
	horizon = 9
	year    = 380
)

// edges are the next times after t at which a time of the week begins or ends.
func (s schedule) edges(t time.Time, days int) []time.Time {
	if !s.weekly() {
		return nil
	}
	var out []time.Time
	for day := -1; day < days; day++ {
		begin, end, ok := s.on(t.In(s.loc).AddDate(0, 0, day))
		if !ok {
			continue
		}
		for _, e := range []time.Time{begin, end} {
			if e.After(t) {
				out = append(out, e)
			}
		}
	}
	return out
}

var (
	weeklyForm = regexp.MustCompile(`^([A-Z][a-z]{2}(?:[-,][A-Z][a-z]{2})*)(?: ([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2}))?$`)
	dayNames   = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
)

// parse reads a window. The error says what is wrong with its text or zone.
func (w Window) parse() (schedule, error) {
	zone := cmp.Or(w.Timezone, DefaultTimezone)
	s := schedule{text: cmp.Or(w.Allow, w.Deny), deny: w.Deny != "", zone: zone, reason: w.Reason}
	var err error
	if s.loc, err = location(zone); err != nil {
		return s, err
	}
	if from, to, ok := strings.Cut(s.text, "/"); ok {
		return s, s.dates(from, to)
	}
	m := weeklyForm.FindStringSubmatch(s.text)
	if m == nil {
		return s, fmt.Errorf("parse window %s: it is no time of the week and no range of dates", shorten(s.text))
	}
	if err := s.weekdays(m[1]); err != nil {
		return s, err
	}
	s.length = 24 * time.Hour
	if m[2] == "" {
		return s, nil
	}
	begin, ok := clock(m[2])
	end, ok2 := clock(m[3])
	if !ok || !ok2 || begin == 24*time.Hour {
		return s, fmt.Errorf("parse window %s: a time of the day is from 00:00 to 24:00", shorten(s.text))
	}
	if begin == end {
		return s, fmt.Errorf("parse window %s: it ends when it begins", shorten(s.text))
	}
	s.begin, s.length = begin, end-begin
	if s.length < 0 {
		s.length += 24 * time.Hour // over midnight
	}
	return s, nil
}

// location finds a zone by its name. The machine's own, which differs from one
// to the next, has none.
func location(zone string) (*time.Location, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" || zone == "" {
		return nil, fmt.Errorf("find the time zone %s: it is none of the IANA database", shorten(zone))
	}
	return loc, nil
}

// clock reads HH:MM up to 24:00.
func clock(s string) (time.Duration, bool) {
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	return d, m < 60 && d <= 24*time.Hour
}

// weekdays reads days and ranges of days, with commas between them.
func (s *schedule) weekdays(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if a < 0 || b < 0 {
			return fmt.Errorf("parse window %s: %s is no day or range of days", shorten(s.text), shorten(part))
		}
		for d := a; ; d = (d + 1) % 7 {
			s.days[d] = true
			if d == b {
				break
			}
		}
	}
	return nil
}

// dates reads the ends of a range: dates, both whole days, or times.
func (s *schedule) dates(from, to string) error {
	read := func(text string, days int) (time.Time, bool) {
		if t, err := time.ParseInLocation(time.DateOnly, text, s.loc); err == nil {
			return t.AddDate(0, 0, days), true
		}
		t, err := time.Parse(time.RFC3339, text)
		return t, err == nil
	}
	var ok, ok2 bool
	s.from, ok = read(from, 0)
	s.to, ok2 = read(to, 1)
	if !ok || !ok2 {
		return fmt.Errorf("parse window %s: the ends of a range are dates or times", shorten(s.text))
	}
	if !s.to.After(s.from) {
		return fmt.Errorf("parse window %s: it ends before it begins", shorten(s.text))
	}
	return nil
}
