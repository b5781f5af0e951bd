package record

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// numbered is a record that tells whether it is whole: as many changes, of
// varying size, as its number says.
func numbered(n int) decide.Record {
	rec := decide.Record{Seen: plan.Revision(itoa(n)), Rollbacks: []time.Time{}}
	for i := range n % 97 {
		rec.Changes = append(rec.Changes, decide.Change{Commit: rec.Seen, Subject: strings.Repeat("x", (n*31+i)%500)})
	}
	return rec
}

// saveForever is the child: it saves and appends, and says each number once
// both are done.
func saveForever(dir string) {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	d, err := Open(dir)
	die(err)
	last, ok, err := d.Load(ctx, key)
	die(err)
	start := 1
	if ok {
		n, err := strconv.Atoi(string(last.Seen))
		die(err)
		start = n + 1
	}
	for n := start; ; n++ {
		die(d.Save(ctx, key, numbered(n)))
		die(d.Append(ctx, key, reconciler.Entry{Message: itoa(n)}))
		fmt.Println(n)
	}
}

// holdLock is the child that holds the lock until its input ends.
func holdLock(dir string) {
	if _, err := Open(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print("x")
	_, _ = io.Copy(io.Discard, os.Stdin) // the parent kills this process
	os.Exit(0)
}

// TestKillLeavesTheOldRecordOrTheNewOne kills a process that saves without
// pause. What is read then is the last record whose Save returned, or the one
// after it; the history is whole but for entries whose Append did not return.
func TestKillLeavesTheOldRecordOrTheNewOne(t *testing.T) {
	rounds := 25
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		rounds = 500
	}
	dir := t.TempDir()
	acked := 0
	for round := range rounds {
		acked = max(acked, killWhileSaving(t, dir))
		d := mustOpen(t, dir)
		rec, ok, err := d.Load(t.Context(), key)
		if err != nil || !ok {
			t.Fatalf("round %d: Load after the kill: ok %v, error %v", round, ok, err)
		}
		n, err := strconv.Atoi(string(rec.Seen))
		if err != nil || n < acked || n > acked+1 {
			t.Fatalf("round %d: got record %q, want %d or %d", round, rec.Seen, acked, acked+1)
		}
		if got, want := fmt.Sprint(rec), fmt.Sprint(numbered(n)); got != want {
			t.Fatalf("round %d: record %d is not the one that was saved:\ngot  %s\nwant %s", round, n, got, want)
		}
		checkHistory(t, d, acked)
		must(t, d.Close())
		acked = n
	}
	t.Logf("%d kills over %d saves", rounds, acked)
}

// killWhileSaving runs the child for a moment and returns the last number that
// it said.
func killWhileSaving(t *testing.T, dir string) int {
	t.Helper()
	cmd := child(t, "save", dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := bufio.NewScanner(out)
	if !said.Scan() {
		t.Fatalf("the child said nothing: %v", cmd.Wait())
	}
	last := said.Text()
	// Spread over the steps of a save, which takes about a millisecond.
	time.AfterFunc(time.Duration(rand.IntN(20000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	for said.Scan() {
		last = said.Text()
	}
	_ = cmd.Wait() // it was killed
	n, err := strconv.Atoi(last)
	must(t, err)
	return n
}

// checkHistory expects entries with rising numbers that end at acked or, when
// the kill came after the write, one later. Numbers are missing where the kill
// came between Save and Append.
func checkHistory(t *testing.T, d *Dir, acked int) {
	t.Helper()
	h, err := d.History(t.Context(), key, maxEntries)
	must(t, err)
	before := 0
	found := false
	for _, e := range h {
		n, err := strconv.Atoi(e.Message)
		if err != nil || n <= before || n > acked+1 {
			t.Fatalf("entry %q after %d, with %d acknowledged", e.Message, before, acked)
		}
		found = found || n == acked
		before = n
	}
	if !found {
		t.Fatalf("entry %d was acknowledged and is missing; the last one is %d", acked, before)
	}
}
