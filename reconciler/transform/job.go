package transform

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/transform"
)

// maxPasses over sources that never come to rest.
const maxPasses = 10

// job is one transform as it is worked.
type job struct {
	r      *Runner
	w      *work
	key    plan.Key
	t      *transform.Transform
	acc    *client.Client
	s      *store
	source *meta.RESTMapping
	before reconciler.Progress // of the transforms before this one

	mu sync.Mutex
	// claims are the targets by the source that gives them.
	claims map[render.ID]string
	index  index
	failed map[string]*failure // by source
	done   int                 // sources transformed by this process
	began  time.Time
	total  int
	passes int // of this process
}

// failure of one source.
type failure struct {
	err      error
	attempts int
	again    time.Time
}

func newJob(r *Runner, w *work, t reconciler.Task, x plan.Transform, before reconciler.Progress) (*job, error) {
	s, err := openStore(r.o.Dir, t.Version.Plan.Key(), x.Name)
	if err != nil {
		return nil, err
	}
	return r.jobOf(w, t, x, before, s)
}

func (r *Runner) jobOf(w *work, t reconciler.Task, x plan.Transform, before reconciler.Progress, s *store) (*job, error) {
	key := t.Version.Plan.Key()
	compiled, err := transform.Compile(x)
	if err != nil {
		return nil, err
	}
	acc, err := r.o.Client.ForPlan(t.Version.Plan)
	if err != nil {
		return nil, err
	}
	j := &job{r: r, w: w, key: key, t: compiled, acc: acc, s: s, before: before, claims: map[render.ID]string{}, failed: map[string]*failure{}, began: r.o.Now()}
	for _, rec := range s.records {
		for i := range rec.Targets {
			if !rec.Gone && !rec.Targets[i].Former {
				j.claims[rec.Targets[i].ID] = rec.key()
			}
		}
	}
	return j, nil
}

// ensure transforms all sources, and returns when that is done, cannot go on, or
// ctx ends.
func (j *job) ensure(ctx context.Context, task string) (err error) {
	if err := j.s.reset(digestOf(j.t.Plan)); err != nil {
		return err
	}
	if j.s.head.Task == task {
		j.total = j.s.head.Report.Sources
		j.tell("")
		j.w.known(j.t.Plan.Name)
		return nil
	}
	if j.source, err = j.mapping(j.t.Plan.From.APIVersion, j.t.Plan.From.Kind); err != nil {
		return err
	}
	j.w.tellOne(j.t.Plan.Name, 0, 0, 0) // whatever came of an earlier run
	report := Report{Sample: *j.t.Plan.Sample}
	if j.s.head.Begun == task {
		report = j.s.head.Report
	}
	j.s.head.Begun = task
	for {
		if err := j.settle(ctx, &report); err != nil || ctx.Err() != nil {
			return err
		}
		again, err := j.compare(ctx, &report)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if !again {
			break
		}
	}
	if err := j.count(ctx, &report); err != nil {
		return err
	}
	j.s.head.Task, j.s.head.Undone, j.s.head.Report = task, "", report
	j.tell("")
	if err := j.s.saveHead(); err != nil {
		return err
	}
	j.w.known(j.t.Plan.Name)
	return nil
}

// settle goes through the sources until a pass finds nothing new.
func (j *job) settle(ctx context.Context, report *Report) error {
	for ctx.Err() == nil {
		p, err := j.pass(ctx)
		if err != nil {
			return err
		}
		report.Passes++
		j.passes++ // a restart begins anew: its first pass proves nothing
		report.Signature = p.signature()
		report.Changed, report.Deleted = report.Changed+p.changed, report.Deleted+p.deleted
		if report.Passes > 1 {
			report.Added += p.added
		}
		report.Restless = p.news() > 0 && j.passes >= maxPasses
		j.s.head.Report = *report
		if err := j.s.saveHead(); err != nil {
			return err
		}
		if err := j.retry(ctx); err != nil {
			return err
		}
		if p.news() == 0 || report.Restless {
			return nil
		}
	}
	return nil
}

func digestOf(t plan.Transform) string {
	// What is only looked at afterwards makes no other objects.
	t.Verify, t.Sample, t.BatchSize, t.Parallelism = nil, nil, 0, 0
	return hash(t)
}

// count what there is in the end, and look for orphans.
func (j *job) count(ctx context.Context, report *Report) error {
	live, err := j.readIndex(ctx)
	if err != nil {
		return err
	}
	report.Targets, report.Sources = map[string]int{}, 0
	given := map[render.ID]bool{}
	for _, rec := range j.s.records {
		if rec.Gone {
			continue
		}
		report.Sources++
		for _, t := range rec.Targets {
			if !t.Former {
				given[t.ID] = true
				report.Targets[t.Target]++
			}
		}
	}
	var orphans []string
	for id, o := range live {
		if o.mine && o.from.Transform == j.t.Plan.Name && !given[id] {
			orphans = append(orphans, id.String())
		}
	}
	slices.Sort(orphans)
	report.Orphaned, report.Orphans = len(orphans), orphans[:min(len(orphans), maxNamed)]
	j.r.metrics.orphaned.WithLabelValues(j.key.String(), j.t.Plan.Name).Set(float64(len(orphans)))
	if len(orphans) > 0 {
		j.r.o.Log.Warn("targets have no source any more", "plan", j.key.String(), "transform", j.t.Plan.Name, "count", len(orphans), "first", orphans[0])
	}
	return nil
}

// tell how far it is.
func (j *job) tell(doing string) {
	j.mu.Lock()
	finished, failed, done, total := 0, len(j.failed), j.done, j.total
	for _, rec := range j.s.records {
		if !rec.Gone && rec.Read != "" {
			finished++
		}
	}
	why := j.firstFailure()
	j.mu.Unlock()
	p := reconciler.Progress{Total: j.before.Total + max(total, finished), Finished: j.before.Finished + finished, Failed: failed, Message: doing}
	if p.Finished > p.Total-failed {
		p.Finished = p.Total - failed // one that was good once and fails now
	}
	if took := j.r.o.Now().Sub(j.began).Seconds(); took > 0 {
		p.Rate = float64(done) / took
	}
	if why != "" {
		p.Message = why
	}
	j.w.set(p)
	j.w.tellOne(j.t.Plan.Name, max(total, finished), finished, failed)
	j.r.metrics.progress(j.key, j.t.Plan.Name, max(total, finished), finished, failed)
}

// firstFailure names the first source that fails, in the order of their names. j.mu
// is held.
func (j *job) firstFailure() string {
	if len(j.failed) == 0 {
		return ""
	}
	first := slices.Min(slices.Collect(maps.Keys(j.failed)))
	s := fmt.Sprintf("transform %s: %s %s: %v", j.t.Plan.Name, j.t.Plan.From.Kind, strings.TrimPrefix(first, "/"), j.failed[first].err)
	if n := len(j.failed) - 1; n > 0 {
		s += fmt.Sprintf("; and %d more", n)
	}
	return s
}

// summary of all transforms of a task, for people.
func summary(transforms []plan.Transform, w *work) string {
	var parts []string
	for _, t := range transforms {
		w.mu.Lock()
		r := w.reports[t.Name]
		w.mu.Unlock()
		parts = append(parts, t.Name+": "+r.String(w.undo))
	}
	return strings.Join(parts, "; ")
}

// String is one line for people.
func (r Report) String(undo bool) string {
	if undo {
		s := fmt.Sprintf("%d objects removed", r.Removed)
		if r.Kept > 0 {
			s += fmt.Sprintf(", %d kept: %s", r.Kept, r.KeptWhy[0])
		}
		return s
	}
	n := 0
	for _, c := range r.Targets {
		n += c
	}
	s := fmt.Sprintf("%d sources became %d objects, %d compared", r.Sources, n, r.Compared)
	if c := r.Changed + r.Added; c > 0 {
		s += fmt.Sprintf(", %d changed or added meanwhile and transformed again", c)
	}
	if r.Deleted > 0 {
		s += fmt.Sprintf(", %d deleted meanwhile", r.Deleted)
	}
	if r.Orphaned > 0 {
		s += fmt.Sprintf(", %d orphaned: %s", r.Orphaned, r.Orphans[0])
	}
	if r.Restless {
		s += "; sources still change: what changes from now on is not transformed"
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
