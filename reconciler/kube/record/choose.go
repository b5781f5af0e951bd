package record

import (
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// copyOf is what became of loading one copy of a record.
type copyOf struct {
	rec decide.Record
	ok  bool
	err error
	by  string // who wrote it; empty: not known
}

func (r *Recorder) choose(key plan.Key, journal, cluster copyOf) (decide.Record, bool, error) {
	log := r.o.Log.With("plan", key.String())
	switch {
	case errors.Is(cluster.err, ErrStranger):
		return decide.Record{}, false, cluster.err
	case journal.err != nil && cluster.ok && cluster.err == nil:
		log.Error("the journal cannot be read; the record is taken from the cluster", "err", journal.err.Error())
		return cluster.rec, true, nil
	case journal.err != nil:
		return decide.Record{}, false, errors.Join(journal.err, cluster.err)
	case cluster.err != nil && journal.ok && r.o.Shared:
		// Another daemon may have gone on since.
		return decide.Record{}, false, fmt.Errorf("load record of %s: another daemon may have written a newer one: %w", key, cluster.err)
	case cluster.err != nil && journal.ok:
		log.Warn("the record in the cluster cannot be read; the journal's counts", "err", cluster.err.Error())
		return journal.rec, true, nil
	case cluster.err != nil:
		// An empty record would have the plan begin anew.
		return decide.Record{}, false, fmt.Errorf("load record of %s: the journal has none, and the cluster may have one: %w", key, cluster.err)
	case cluster.ok && journal.ok && r.o.ID != "" && cluster.by != "" && cluster.by != r.id:
		// What the journal has beyond it was written by a daemon that did not
		// know that another had taken over.
		log.Info("the record is taken from the cluster: another daemon wrote it", "serial", cluster.rec.Serial, "journal", journal.rec.Serial, "by", cluster.by)
		return cluster.rec, true, nil
	case cluster.ok && (!journal.ok || cluster.rec.Serial > journal.rec.Serial):
		log.Info("the record is taken from the cluster: it is newer than the journal's", "serial", cluster.rec.Serial)
		return cluster.rec, true, nil
	}
	return journal.rec, journal.ok, nil
}
