package e2e

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestAnUnchangedPlanChangesNothing: no Git write, no file write, no reload.
func TestAnUnchangedPlanChangesNothing(t *testing.T) {
	p := newProbe(t)
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "nginx", Plan: alarmPlan, Targets: []string{p.addr}})
	s.StartDaemon()
	s.Declare("gradual@10")
	s.Await("steady at 10 %", await, steadyAt("gradual@10"))
	s.Await("the alarm is known to be silent", await, func(st reconciler.Status) bool {
		return steadyAt("gradual@10")(st) && verdicts(st, gates.Pass, gates.Fail)
	})
	time.Sleep(3 * time.Second) // the last facts are written down, old workers end
	before, workers := trace(t, s), s.NGINX.WorkerPIDs()
	time.Sleep(6 * time.Second)
	after := trace(t, s)
	if !slices.Equal(before, after) {
		t.Errorf("in 6 s of 12 evaluations and 12 readings of the branch files changed:\nbefore\n%s\nafter\n%s",
			strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if now := s.NGINX.WorkerPIDs(); !slices.Equal(workers, now) {
		t.Errorf("nginx was reloaded: workers %v, then %v", workers, now)
	}
}

// trace lists every file of the daemon, of nginx's include folder and of the
// repository, with size and time of the last change.
func trace(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	var out []string
	for _, root := range []string{s.State, s.NGINX.Dir, s.Repo} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime().Format(time.RFC3339Nano)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
