package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestABakeIsNeitherShorterNorLonger: the daemon is killed, ended and started
// with another interval in mid-bake, and loses its state folder. The record and
// what the gateway knows count the bake from the one entry.
func TestABakeIsNeitherShorterNorLonger(t *testing.T) {
	t.Parallel()                  // it waits more than it works
	const bake = 40 * time.Second // three restarts on a busy machine are shorter
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "nginx", Plan: strings.Replace(ordersPlan, "bake: 2s", "bake: "+bake.String(), 1)})
	startLoad(t, s)
	s.StartDaemon()
	s.Await("steady at setup", await, steadyAt("setup"))
	s.Declare("gradual@25")
	baking := func(st reconciler.Status) bool {
		return st.Effective.String() == "gradual@10" && st.Decision.Reason == "Baking"
	}
	entered := s.Await("the bake at 10 %", await, baking).Since

	for _, again := range []func(){
		func() { s.KillDaemon(); s.StartDaemon("--interval", "7s") },
		func() { s.StopDaemon(); s.StartDaemon("--interval", "100ms") },
		func() {
			s.KillDaemon()
			if err := os.RemoveAll(s.State); err != nil {
				t.Fatal(err)
			}
			s.StartDaemon("--interval", "1s")
		},
	} {
		time.Sleep(time.Second)
		again()
		if now := s.Await("the bake goes on", await, baking).Since; !now.Equal(entered) {
			t.Fatalf("started anew, the bake counts from %s, and the stop was entered at %s", now, entered)
		}
	}
	if took := time.Since(entered); took >= bake {
		t.Fatalf("the machine is too slow: %s passed in mid-bake", took)
	}
	next := s.Await("25 %", await, func(st reconciler.Status) bool { return st.Effective.String() == "gradual@25" }).Since
	took := next.Sub(entered)
	t.Logf("a bake of %s took %s", bake, took)
	late := time.Minute // of a busy machine
	if accept() {
		late = 2 * time.Second
	}
	if took < bake || took > bake+late {
		t.Errorf("a bake of %s took %s", bake, took)
	}
}
