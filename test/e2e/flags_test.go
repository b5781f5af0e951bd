package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestFlagsAreAskedOfTheDaemon: an application without flagd asks the real daemon,
// at every stop there and back. Its callers have the flag whom the gateway has on
// modern, and the file for flagd is of the same stop.
func TestFlagsAreAskedOfTheDaemon(t *testing.T) {
	t.Parallel()
	text := strings.Replace(alarmPlan, "  signals:\n", "  flags:\n    - {name: checkout, percent: position}\n    - {name: killed, percent: 100, killSwitch: true}\n  signals:\n", 1)
	if text == alarmPlan {
		t.Fatal("the plan has no signals")
	}
	addr, dir := child.FreeAddr(t), t.TempDir()
	p := newProbe(t)
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "bridge", Plan: text, Targets: []string{p.addr}, Args: []string{"--flags-dir", dir, "--ofrep-listen", addr}})
	s.StartDaemon()
	asked := func(stop string, percent plan.Percent) {
		t.Helper()
		s.Await("steady at "+stop, await, steadyAt(stop))
		for i := range 100 {
			caller := fmt.Sprintf("user-%d", i)
			want := plan.OnModern(plan.Bucket("orders", caller), percent)
			if got := flagOf(t, addr, "checkout", caller); got != want {
				t.Errorf("at %s the flag of %s is %v, want %v", stop, caller, got, want)
			}
		}
		if flagOf(t, addr, "killed", "user-1") {
			t.Errorf("at %s a flag whose kill switch is set is true", stop)
		}
		b, err := os.ReadFile(filepath.Join(dir, "default", "orders", "flags.flagd.json"))
		if err != nil || !bytes.Contains(b, []byte(stop)) {
			t.Errorf("the file for flagd is not of %s (%v):\n%s", stop, err, b)
		}
	}
	asked("setup", 0)
	s.Declare("gradual@25")
	asked("gradual@25", 25)
	s.Declare("gradual@50")
	asked("gradual@50", 50)
	p.set("probe 1\n") // breached at every stop of the phase
	s.Await("rolled back to setup", await, func(st reconciler.Status) bool { return st.Effective.String() == "setup" })
	p.set("probe 0\n")
	asked("setup", 0)
}

// flagOf asks as an application does.
func flagOf(t *testing.T, addr, flag, caller string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/ofrep/v1/evaluate/flags/"+flag, strings.NewReader(fmt.Sprintf(`{"context": {"targetingKey": %q}}`, caller)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Value any }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("flag %s: status %d, %v", flag, resp.StatusCode, err)
	}
	on, ok := got.Value.(bool)
	if !ok {
		t.Fatalf("flag %s of %s is %v, want true or false", flag, caller, got.Value)
	}
	return on
}
