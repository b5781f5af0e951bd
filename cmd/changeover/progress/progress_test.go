package progress_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/progress"
)

// clock is one that only the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func bar(terminal bool) (*progress.Bar, *bytes.Buffer, *clock) {
	var out bytes.Buffer
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return progress.New(progress.Options{Out: &out, What: "restore", Terminal: terminal, Now: c.Now}), &out, c
}

func TestLinesWhereNobodyWatches(t *testing.T) {
	b, out, c := bar(false)
	b.Show(progress.Count{Total: 1000})
	for i := 1; i <= 25; i++ { // 25 s
		c.pass(time.Second)
		b.Show(progress.Count{Total: 1000, Done: 19 * i, Failed: i})
	}
	b.End()
	b.Show(progress.Count{Total: 1000, Done: 999})
	b.End()
	const want = `restore 0 of 1000 done (0 %), 0 failed
restore 190 of 1000 done (20 %), 10 failed, 20/s, 40s left
restore 380 of 1000 done (40 %), 20 failed, 20/s, 30s left
restore 475 of 1000 done (50 %), 25 failed, 20/s
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheBarIsDrawnOverItself(t *testing.T) {
	b, out, c := bar(true)
	b.Show(progress.Count{Total: 200, Done: 100, Rate: 2})
	c.pass(50 * time.Millisecond)
	b.Show(progress.Count{Total: 200, Done: 101, Rate: 2}) // too soon
	c.pass(time.Second)
	b.Show(progress.Count{Total: 200, Done: 200, Rate: 2})
	b.End()
	pictures := strings.Split(out.String(), "\r")
	want := []string{
		"",
		"restore [############............] 100 of 200 done (50 %), 0 failed, 2.0/s, 50s left",
		"restore [########################] 200 of 200 done (100 %), 0 failed, 2.0/s         ",
		"restore [########################] 200 of 200 done (100 %), 0 failed, 2.0/s\n",
	}
	if len(pictures) != len(want) {
		t.Fatalf("got %d pictures, want %d: %q", len(pictures), len(want), pictures)
	}
	for i, p := range pictures {
		if p != want[i] {
			t.Errorf("picture %d: got %q, want %q", i, p, want[i])
		}
	}
}

func TestWhatWasDoneBeforeIsNoRate(t *testing.T) {
	b, out, c := bar(false)
	b.Show(progress.Count{Done: 5000}) // resumed; the total is not known
	c.pass(10 * time.Second)
	b.Show(progress.Count{Done: 5040})
	if got := out.String(); !strings.HasSuffix(got, "restore 5040 done, 0 failed, 4.0/s\n") {
		t.Errorf("got %q", got)
	}
}

func TestRemaining(t *testing.T) {
	for _, c := range []struct {
		items int
		rate  float64
		want  string
	}{{10, 0, "-"}, {1, 100, "1s"}, {150, 1, "2m30s"}, {1 << 40, 0.001, "more than 100h"}} {
		if got := progress.Remaining(c.items, c.rate); got != c.want {
			t.Errorf("%d at %g/s: got %q, want %q", c.items, c.rate, got, c.want)
		}
	}
}

func TestNothingIsDrawnOfWorkThatDidNotBegin(t *testing.T) {
	b, out, _ := bar(true)
	b.End()
	if out.Len() > 0 {
		t.Errorf("got %q", out)
	}
}

func TestSeveralMayCount(t *testing.T) {
	b, out, _ := bar(false)
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() { b.Show(progress.Count{Total: 8, Done: i}) })
	}
	g.Wait()
	b.End()
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("got %d lines, want the first and the last: %q", n, out)
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	env := func(string) string { return "" }
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if progress.Terminal(f, env) || progress.Terminal(io.Discard, env) {
		t.Error("a file is taken for a terminal")
	}
	// A character device, as terminals are.
	if !progress.Terminal(null, env) || progress.Terminal(null, func(string) string { return "dumb" }) {
		t.Error("a device is not told from a dumb terminal")
	}
}
