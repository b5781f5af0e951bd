package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

var _ reconciler.TransformTeller = (*Runner)(nil)

// tellOne says how far one transform is, for gates.
func (w *work) tellOne(name string, total, done, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts[name] = gates.Transform{Total: int64(total), Done: int64(min(done, total-failed)), Failed: int64(failed)}
}

// known drops what was said of a transform that has come to its end: its head tells
// from now on.
func (w *work) known(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.facts, name)
}

// TellTransforms implements reconciler.TransformTeller: those that are being worked
// are as they stand, the others as they ended.
func (r *Runner) TellTransforms(p *plan.Plan) map[string]gates.Transform {
	r.mu.Lock()
	w := r.work[p.Key()]
	r.mu.Unlock()
	under, undo := map[string]gates.Transform{}, false
	if w != nil {
		w.mu.Lock()
		under, undo = maps.Clone(w.facts), w.undo
		w.mu.Unlock()
	}
	out := map[string]gates.Transform{}
	for _, ph := range p.Spec.Phases {
		for _, t := range ph.Transforms {
			now, ok := under[t.Name]
			switch {
			case ok && undo:
				out[t.Name] = gates.Transform{Why: "it is being taken back"}
			case ok:
				out[t.Name] = now
			default:
				out[t.Name] = r.ended(p.Key(), t)
			}
		}
	}
	return out
}

// ended is what the head of a transform says of its last run.
func (r *Runner) ended(key plan.Key, t plan.Transform) gates.Transform {
	b, err := os.ReadFile(filepath.Join(r.o.Dir, key.Namespace, key.Name, t.Name, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return gates.Transform{Why: "it has not run yet"}
	}
	var h head
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	switch {
	case err != nil:
		return gates.Transform{Why: fmt.Sprintf("read its records: %v", err)}
	case h.Digest != digestOf(t):
		return gates.Transform{Why: "it has not run as it is written now"}
	case h.Task == "" && h.Undone != "":
		return gates.Transform{Why: "it was taken back when the plan went back"}
	case h.Task == "" || h.Task != h.Begun:
		return gates.Transform{Why: "it has begun, and is not at its end"}
	}
	out := gates.Transform{Complete: true, Total: int64(h.Report.Sources), Done: int64(h.Report.Sources), Orphaned: int64(h.Report.Orphaned)}
	for _, n := range h.Report.Targets {
		out.Objects += int64(n)
	}
	return out
}
