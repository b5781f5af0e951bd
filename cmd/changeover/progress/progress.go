package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// redraw is the least time between two pictures on a terminal.
	redraw = 100 * time.Millisecond
	// again is the time between two lines where nobody watches.
	again = 10 * time.Second
	// width of the bar, in characters.
	width = 24
)

// Count is how far work is.
type Count struct {
	// Total of the items; 0: not known.
	Total int
	// Done and Failed are those that ended well, and those that did not. The
	// rest is still to be done.
	Done, Failed int
	// Rate in items a second; 0: the bar works it out.
	Rate float64
}

func (c Count) ended() int { return c.Done + c.Failed }

// Options of a Bar.
type Options struct {
	// Out is where it is drawn: standard error, so that it never mixes with
	// what a program reads.
	Out io.Writer
	// What is done, such as "restore".
	What string
	// Terminal: the bar is drawn over itself; else lines are written.
	Terminal bool
	Now      func() time.Time
}

// Bar shows how far one piece of work is. It is safe for use by several
// goroutines.
type Bar struct {
	o Options

	mu    sync.Mutex
	begun time.Time // zero before the first count
	first int       // items that had ended then
	drawn time.Time
	last  Count
	wide  int // characters of what stands on the terminal's line
	over  bool
}

// New makes a bar. Nothing is drawn before the first count.
func New(o Options) *Bar { return &Bar{o: o} }

// Show takes in how far the work is, and draws it, but not too often.
func (b *Bar) Show(c Count) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	if b.begun.IsZero() {
		b.begun, b.first = now, c.ended()
	}
	b.last = c
	least := again
	if b.o.Terminal {
		least = redraw
	}
	if b.over || !b.drawn.IsZero() && now.Sub(b.drawn) < least {
		return
	}
	b.drawn = now
	b.write(b.line(now))
}

// End draws what was counted last, for good. Nothing is drawn after it.
func (b *Bar) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.begun.IsZero() {
		return
	}
	b.over = true
	b.write(b.line(b.o.Now()))
	if b.o.Terminal {
		_, _ = fmt.Fprintln(b.o.Out)
	}
}

func (b *Bar) write(line string) {
	if !b.o.Terminal {
		_, _ = fmt.Fprintln(b.o.Out, line)
		return
	}
	n := len([]rune(line))
	_, _ = fmt.Fprint(b.o.Out, "\r", line, strings.Repeat(" ", max(0, b.wide-n)))
	b.wide = n
}

// line is the count in words.
func (b *Bar) line(now time.Time) string {
	c := b.last
	rate := c.Rate
	if spent := now.Sub(b.begun).Seconds(); rate == 0 && spent > 0 {
		rate = float64(c.ended()-b.first) / spent
	}
	var s strings.Builder
	s.WriteString(b.o.What)
	if c.Total > 0 && b.o.Terminal {
		full := min(width, width*c.ended()/c.Total)
		fmt.Fprintf(&s, " [%s%s]", strings.Repeat("#", full), strings.Repeat(".", width-full))
	}
	switch {
	case c.Total > 0:
		fmt.Fprintf(&s, " %d of %d done (%d %%)", c.Done, c.Total, 100*c.ended()/c.Total)
	default:
		fmt.Fprintf(&s, " %d done", c.Done)
	}
	fmt.Fprintf(&s, ", %d failed", c.Failed)
	if rate > 0 {
		fmt.Fprintf(&s, ", %s/s", figure(rate))
	}
	if left := c.Total - c.ended(); left > 0 && rate > 0 && !b.over {
		fmt.Fprintf(&s, ", %s left", Remaining(left, rate))
	}
	return s.String()
}

// figure is a rate with as many digits as it is worth.
func figure(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// Remaining is the time that items will take at a rate of items a second, in
// words; "-" where there is no rate.
func Remaining(items int, rate float64) string {
	if rate <= 0 {
		return "-"
	}
	const most = 100 * time.Hour
	if s := float64(items) / rate; s < most.Seconds() {
		return time.Duration(max(s, 1) * float64(time.Second)).Round(time.Second).String()
	}
	return "more than 100h"
}

// Terminal reports whether a person watches what is written there, on a
// terminal that can draw over itself.
func Terminal(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok || getenv("TERM") == "dumb" {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
