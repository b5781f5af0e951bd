package handover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
)

func (w *world) orders() string { return filepath.Join(w.dir, "orders") }

// batchesAre compares the manifests of a plan: STOP IDS, with a ? where the stop was
// not entered yet.
func (w *world) batchesAre(want ...string) {
	w.t.Helper()
	bs, err := Batches(w.orders(), w.plan.Plan)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, b := range bs {
		line := b.Stop.String()
		if b.Frozen.IsZero() {
			line += "?"
		}
		got = append(got, strings.TrimSpace(line+" "+strings.Join(b.IDs, " ")))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("the batches are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEachStopHasItsBatch(t *testing.T) {
	w := newWorld(t, 8)
	w.state["e001"] = InFlight
	e, stop := w.engine()
	defer stop()
	w.batchesAre("gradual@10?", "gradual@25?", "gradual@50?", "gradual@100?")
	until(t, e, task(w, "gradual@10", false), "done", done)
	w.batchesAre("gradual@10 e000", "gradual@25? e001", "gradual@50? e002 e003", "gradual@100? e004 e005 e006 e007")
	until(t, e, task(w, "gradual@25", false), "done", done)
	// What is in flight stays in its batch, and what is new comes at the end.
	w.mu.Lock()
	w.ids = append(w.ids, "new1", "new2")
	w.mu.Unlock()
	until(t, e, task(w, "gradual@50", false), "done", done)
	fifty := []string{"gradual@10 e000", "gradual@25 e001", "gradual@50 e002 e003 e004", "gradual@100? e005 e006 e007 new1 new2"}
	w.batchesAre(fifty...)
	// Going back, and forward again, changes no batch.
	until(t, e, task(w, "gradual@10", true), "back", done)
	w.batchesAre(fifty...)
	until(t, e, task(w, "gradual@25", false), "done", done)
	until(t, e, task(w, "gradual@50", false), "done", done)
	w.batchesAre(fifty...)
	w.mu.Lock()
	delete(w.state, "e001")
	w.mu.Unlock()
	until(t, e, task(w, "gradual@100", false), "all", func(p reconciler.Progress, _ error) bool { return p.Done && p.Finished == 10 })
	whole := []string{"gradual@10 e000", "gradual@25 e001", "gradual@50 e002 e003 e004", "gradual@100 e005 e006 e007 new1 new2"}
	w.batchesAre(whole...)
	// A stop that is given up keeps its manifest.
	w.plan.Plan.Spec.Phases[1].Percents = w.plan.Plan.Spec.Phases[1].Percents[1:]
	w.batchesAre(append(whole[1:len(whole):len(whole)], whole[0])...)
}

func TestLostManifestsAreMadeAnewFromTheTable(t *testing.T) {
	w := newWorld(t, 8)
	e, stop := w.engine()
	defer func() { stop() }()
	for _, at := range []string{"gradual@10", "gradual@25", "gradual@50"} {
		until(t, e, task(w, at, false), "done at "+at, done)
	}
	stop()
	dir := batchDir(w.orders(), w.plan.Plan.Key())
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	e, stop = w.engine()
	until(t, e, task(w, "gradual@100", false), "done", done)
	w.batchesAre("gradual@10 e000", "gradual@25 e001", "gradual@50 e002 e003", "gradual@100 e004 e005 e006 e007")
	file := filepath.Join(dir, "gradual@25.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Batches(w.orders(), w.plan.Plan); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("a damaged manifest: %v", err)
	}
}

// Nothing is handed over that no manifest has: where it cannot be kept, the stop
// waits.
func TestABatchIsFrozenBeforeItIsHandedOver(t *testing.T) {
	w := newWorld(t, 8)
	dir := batchDir(w.orders(), w.plan.Plan.Key())
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder belongs
		t.Fatal(err)
	}
	e, stop := w.engine()
	defer stop()
	until(t, e, task(w, "gradual@25", false), "it cannot be kept", func(_ reconciler.Progress, err error) bool {
		return err != nil && strings.Contains(err.Error(), "batch")
	})
	if len(w.owned()) > 0 {
		t.Errorf("modern owns %v", w.owned())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	until(t, e, task(w, "gradual@25", false), "done", done)
	w.batchesAre("gradual@10?", "gradual@25 e000 e001", "gradual@50? e002 e003", "gradual@100? e004 e005 e006 e007")
}
