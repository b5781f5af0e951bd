package backup

import (
	"context"
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// maxLogged bounds how many objects of a restore are logged one by one.
const maxLogged = 50

// Undo implements reconciler.Work: what the phases that were left asked to have
// restored is, the last first.
func (w *Work) Undo(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	phases := leftBehind(t)
	if len(phases) == 0 {
		return reconciler.Progress{Name: opBackup, Done: true}, nil
	}
	key := t.Version.Plan.Key()
	id := task{op: opRestore, phase: t.From.Phase, revision: t.Version.Revision, since: t.Since}
	return w.drive(key, id,
		func() (bool, error) {
			due, err := w.toRestore(ctx, key, phases)
			return len(due) == 0, err
		},
		func(ctx context.Context, j *job) error { return w.restore(ctx, j, t, phases) })
}

// leftBehind are the phases that a backward move left, and that ask for a
// restore: the last first, so that in the end everything is as before the first.
func leftBehind(t reconciler.Task) []string {
	var out []string
	p := t.Version.Plan
	it := p.Itinerary()
	to, from := it.Index(t.Stop), it.Index(t.From)
	for i := from; i > to; i-- {
		name := it[i].Phase
		ph := p.Phase(name)
		if name == t.Stop.Phase || len(out) > 0 && out[len(out)-1] == name || ph.Backup == nil || !ph.Rollback.Restore {
			continue
		}
		out = append(out, name)
	}
	return out
}

// toRestore are the backups that were made when the phases were entered, and
// have not been restored since. Those made by hand are not among them: they may
// be of what is to be undone.
func (w *Work) toRestore(ctx context.Context, key plan.Key, phases []string) ([]Manifest, error) {
	all, err := w.o.Store.List(ctx, key)
	if err != nil {
		return nil, err
	}
	var out []Manifest
	for _, phase := range phases {
		var last *Stored
		for i := range all {
			if b := &all[i]; b.Err == nil && b.Phase == phase && b.Revision != "" {
				last = b
			}
		}
		switch {
		case last == nil:
			w.o.Log.Warn("there is no backup to restore: the phase was left before it had one", "plan", key.String(), "phase", phase)
		case last.Restored == nil:
			out = append(out, last.Manifest)
		}
	}
	return out, nil
}

func (w *Work) restore(ctx context.Context, j *job, t reconciler.Task, phases []string) error {
	key := t.Version.Plan.Key()
	c, err := w.o.Client.ForPlan(t.Version.Plan)
	if err != nil {
		return err
	}
	due, err := w.toRestore(ctx, key, phases)
	if err != nil {
		return err
	}
	for _, m := range due {
		report, err := Restore(ctx, Restoration{
			Client: c, Store: w.o.Store, Manifest: m, Identities: w.o.Identities,
			Show: func(s Stage, n Count) { j.show(fmt.Sprintf("restores backup %s: %s", m.Name, doing[s]), n, w.o.Now()) },
		})
		if err != nil {
			return fmt.Errorf("restore backup %s: %w", m.Name, err)
		}
		if !report.OK() {
			w.log(key, m, report)
			return errors.New(advice(key, m, report))
		}
		if err := w.o.Store.markRestored(ctx, key, m.Name, Restored{At: w.o.Now().UTC(), From: t.From, Objects: report.Counts[Done] + report.Counts[Overtaken]}); err != nil {
			return err
		}
		w.o.Log.Info("backup restored", "plan", key.String(), "backup", m.Name, "what", report.Summary())
	}
	return nil
}

// doing are the stages, for people.
var doing = map[Stage]string{StageTry: "tries all objects", StageWrite: "writes them", StageVerify: "compares them"}

func advice(key plan.Key, m Manifest, r *Report) string {
	return fmt.Sprintf("restore backup %s: %s; `changeover backup restore %s %s --dry-run` lists all, and --partial or --force-conflicts there goes on", m.Name, r.Summary(), key, m.Name)
}

// log names the objects that are not as they should be.
func (w *Work) log(key plan.Key, m Manifest, r *Report) {
	n := 0
	for _, i := range r.Items {
		if !i.Result.bad() {
			continue
		}
		if n++; n > maxLogged {
			break
		}
		w.o.Log.Warn("an object is not restored", "plan", key.String(), "backup", m.Name, "object", i.ID.String(), "result", string(i.Result), "why", i.Message)
	}
}
