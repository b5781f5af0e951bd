package transform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
)

// TestGatesAreToldHowTransformsAre goes through the life of a transform: what a
// daemon says of it, and one that has just started.
func TestGatesAreToldHowTransformsAre(t *testing.T) {
	t.Parallel()
	k := install(t)
	ns := k.Namespace(t)
	intents(t, k, ns, "{intent: a, cpu: 1}", "{}", "{intent: c}")
	p, dir := small(ns), t.TempDir()
	r, x := begun(t, k, dir), task(p)
	told := func(r *Runner, want gates.Transform) {
		t.Helper()
		if got := r.TellTransforms(p)["intents"]; got != want {
			t.Errorf("told %+v, want %+v", got, want)
		}
	}
	told(r, gates.Transform{Why: "it has not run yet"})
	says(t, r, x, "NetworkIntent "+ns+"/i1")
	until(t, "two are done and one fails", func() (reconciler.Progress, error) { return r.Ensure(t.Context(), x) }, func(reconciler.Progress) bool {
		return r.TellTransforms(p)["intents"] == gates.Transform{Total: 3, Done: 2, Failed: 1}
	})
	told(begun(t, k, dir), gates.Transform{Why: "it has begun, and is not at its end"})

	change(t, k, "networkintents", ns, "i1", `{"spec": {"intent": "b"}}`)
	ensured(t, r, x)
	whole := gates.Transform{Complete: true, Total: 3, Done: 3, Objects: 4}
	told(r, whole)
	told(begun(t, k, dir), whole)

	// A later move finds an orphan; until it is at its end nobody says so.
	change(t, k, "networkintents", ns, "i0", `{"spec": {"cpu": null}}`)
	x.Since = x.Since.Add(time.Hour)
	ensured(t, r, x)
	told(r, gates.Transform{Complete: true, Total: 3, Done: 3, Objects: 3, Orphaned: 1})

	other := *p
	other.Spec.Phases = append(other.Spec.Phases[:0:0], p.Spec.Phases...)
	ts := append(p.Spec.Phases[1].Transforms[:0:0], p.Spec.Phases[1].Transforms...)
	ts[0].From.Selector = "app=x"
	other.Spec.Phases[1].Transforms = ts
	if got := r.TellTransforms(&other)["intents"].Why; got != "it has not run as it is written now" {
		t.Errorf("of another form of it is told: %q", got)
	}

	back := reconciler.Task{Version: x.Version, From: x.Stop, Stop: x.From, Back: true, Since: x.Since}
	undone(t, r, back)
	told(r, gates.Transform{Why: "it was taken back when the plan went back"})
	told(begun(t, k, dir), gates.Transform{Why: "it was taken back when the plan went back"})

	must(t, os.WriteFile(filepath.Join(dir, p.Metadata.Namespace, p.Metadata.Name, "intents", headFile), []byte("{torn"), 0o600))
	if why := r.TellTransforms(p)["intents"].Why; !strings.HasPrefix(why, "read its records: ") {
		t.Errorf("of a damaged record is told: %q", why)
	}
}
