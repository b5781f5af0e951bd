package reconciler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/plan"
)

// branch is what was last read of the watched branch. It is replaced whole,
// never changed.
type branch struct {
	head    plan.Revision // empty until the branch was read once
	readAt  time.Time
	plans   map[plan.Key]headPlan
	checked map[[sha256.Size]byte][]plan.Problem // by a file's text: problems of its gates
	unnamed map[string][]plan.Problem            // by path: files that no longer tell whose plan they are
	err     string                               // why the last reading failed; empty where it did not
	// held: the remote's head is newer and is not taken up; err says why.
	held   bool
	backAt time.Time     // when a reading last succeeded after one that failed
	gone   chan struct{} // closed when another head is read
}

// headPlan is one plan as the branch's head has it.
type headPlan struct {
	version  plan.Version
	problems []plan.Problem // errors only matter for validity
}

func (h headPlan) valid() bool { return !plan.HasErrors(h.problems) }

// Readings of the remote that are asked for beside the interval: so many at
// once, and one at every such time. It is the Git host that they spare.
const (
	refreshBurst = 3
	refreshEvery = 500 * time.Millisecond
)

// watch reads the remote at the interval and whenever it is asked to, and wakes
// the plans that a new head may concern: all of them, as a change may be a
// trailer.
func (r *Reconciler) watch(ctx context.Context) error {
	tick := time.NewTicker(r.o.GitInterval)
	defer tick.Stop()
	asked := rate.NewLimiter(rate.Every(refreshEvery), refreshBurst)
	for {
		r.poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.refresh:
			if asked.Wait(ctx) != nil {
				return nil
			}
		}
	}
}

// Refresh has the remote read soon. It does not wait for that, and many calls
// are one reading.
func (r *Reconciler) Refresh() {
	select {
	case r.refresh <- struct{}{}:
	default: // one that has not begun sees the same
	}
}

// poll reads the remote once. A failure leaves what was known in force. One
// reading is under way at a time, as an older one that ends later would look
// like a branch that was rewritten.
func (r *Reconciler) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, gitDeadline)
	defer cancel()
	select {
	case r.polling <- struct{}{}:
		defer func() { <-r.polling }()
	case <-ctx.Done():
		return
	}
	begun := r.o.Now()
	var b branch
	err := guarded(r.o.Log, "read the branch", func() (err error) {
		b, err = r.readBranch(ctx, begun)
		return err
	})
	r.metrics.git("poll", r.o.Now().Sub(begun), err)
	r.mu.Lock()
	old := r.branch
	if err != nil {
		r.branch.err, r.branch.held = err.Error(), false
	} else {
		b.backAt = old.backAt
		if old.err != "" && b.err == "" {
			b.backAt = b.readAt
		}
		r.branch = b
		if old.gone != nil && old.head != b.head {
			close(old.gone)
		}
	}
	r.mu.Unlock()
	r.tellReading(old, b, err, begun)
	if err != nil {
		return
	}
	if old.head != b.head && len(b.plans)+len(b.unnamed) == 0 {
		r.o.Log.Warn("the branch holds no MigrationPlan below the watched folder: see --path", "head", string(b.head))
	}
	for key := range b.plans {
		r.worker(key)
	}
	if old.head != b.head {
		r.mu.Lock()
		r.regroup()
		r.mu.Unlock()
	}
	switch {
	case old.head == "" || old.err != b.err:
		r.wakeAll()
	case old.head != b.head:
		r.wakeConcerned(ctx, old, b)
	}
}

// wakeConcerned wakes the plans for which the new head is news. In a repository
// with much else in it most commits are none of theirs.
func (r *Reconciler) wakeConcerned(ctx context.Context, old, now branch) {
	if on, err := r.o.Source.Contains(ctx, now.head, old.head); err != nil || !on {
		r.wakeAll() // rewritten: what was seen may be gone
		return
	}
	r.mu.Lock()
	keys := slices.Collect(maps.Keys(r.plans))
	r.mu.Unlock()
	var rest []plan.Key // what is seen at once does not wait for what must be asked
	for _, key := range keys {
		was, is := old.plans[key], now.plans[key]
		if was.version.IsZero() || was.version.Plan != is.version.Plan || was.version.Content != is.version.Content ||
			!slices.Equal(was.problems, is.problems) {
			r.enqueue(key)
			continue
		}
		rest = append(rest, key)
	}
	for _, key := range rest {
		if r.concerned(ctx, now.plans[key].version.Plan, old.head, now.head) {
			r.enqueue(key)
		}
	}
}

// concerned reports whether the commits after a head say something about a plan
// that is the same at both: lift a hold, or approve. What cannot be read may.
func (r *Reconciler) concerned(ctx context.Context, p *plan.Plan, old, now plan.Revision) bool {
	changes, err := r.o.Source.Changes(ctx, p.Key(), old, now)
	if err != nil || len(changes) > 0 {
		return true
	}
	if len(p.Spec.Roles) == 0 {
		return false
	}
	was, problems, err := r.o.Source.Approvals(ctx, p.Key(), old)
	if err != nil {
		return true
	}
	is, more, err := r.o.Source.Approvals(ctx, p.Key(), now)
	return err != nil || !reflect.DeepEqual(was, is) || !slices.Equal(problems, more)
}

// tellReading logs how a reading went that is not as the one before.
func (r *Reconciler) tellReading(old, b branch, err error, begun time.Time) {
	switch {
	case err != nil && (old.err == "" || begun.Sub(r.warnedAt) >= 10*time.Minute):
		r.warnedAt = begun
		r.o.Log.Warn("git could not be read: what was last read stays in force", "err", err.Error())
	case err != nil:
	case b.held && old.err != b.err:
		r.o.Log.Error("the branch's head is not taken up: it is not signed as it must be", "err", b.err)
	case !b.held && old.err != "":
		r.o.Log.Info("git can be read again", "head", string(b.head))
	}
}

func (r *Reconciler) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.plans {
		r.queue.Add(r.group(key)[0])
	}
}

// readBranch polls, and lists and checks the plans where the head is new.
func (r *Reconciler) readBranch(ctx context.Context, at time.Time) (branch, error) {
	old := r.branchNow()
	head, err := r.o.Source.Poll(ctx)
	var held *UnverifiedError
	why := ""
	if errors.As(err, &held) && head != "" {
		// The branch may say otherwise by now, maybe that traffic goes back: as
		// if it were not read, nothing goes forward for long.
		why, at = err.Error(), old.readAt
	} else if err != nil {
		return branch{}, err
	}
	if head == old.head {
		old.readAt, old.err, old.held = at, why, why != ""
		return old, nil
	}
	files, err := r.o.Source.Plans(ctx, head)
	if err != nil {
		return branch{}, fmt.Errorf("list the plans at %s: %w", head.Short(), err)
	}
	b := branch{
		head: head, readAt: at, err: why, held: why != "", plans: map[plan.Key]headPlan{}, unnamed: map[string][]plan.Problem{},
		checked: map[[sha256.Size]byte][]plan.Problem{}, gone: make(chan struct{}),
	}
	for _, f := range files {
		problems := slices.Concat(f.Problems, b.check(old, f.Document, r.o.Check))
		key := plan.Key{}
		if p := f.Version.Plan; p != nil {
			key = p.Key()
		}
		if key.Name == "" {
			r.o.Log.Warn("a file does not tell whose plan it is", "file", f.Version.Path, "why", firstError(problems))
			b.unnamed[f.Version.Path] = problems
			continue
		}
		hp := b.plans[key]
		if hp.version.IsZero() {
			hp.version = f.Version
		}
		hp.problems = slices.Concat(hp.problems, problems)
		plan.Sort(hp.problems)
		b.plans[key] = hp
	}
	b.connect(files)
	return b, nil
}

// connect adds what is wrong with how the plans hang together.
func (b *branch) connect(files []PlanFile) {
	var docs []*plan.Document
	keys := map[string]plan.Key{} // by file
	for _, f := range files {
		if f.Document != nil && f.Version.Plan != nil && f.Version.Plan.Metadata.Name != "" {
			docs = append(docs, f.Document)
			keys[f.Document.File] = f.Version.Plan.Key()
		}
	}
	for _, p := range plan.Connect(docs) {
		key := keys[p.File]
		hp := b.plans[key]
		hp.problems = append(slices.Clone(hp.problems), p)
		plan.Sort(hp.problems)
		b.plans[key] = hp
	}
}

// check looks into a file, unless this very text was looked into at the head
// before.
func (b *branch) check(old branch, doc *plan.Document, look func(*plan.Document) []plan.Problem) []plan.Problem {
	if doc == nil {
		return nil
	}
	sum := sha256.Sum256(doc.Source)
	problems, ok := old.checked[sum]
	if !ok {
		problems = look(doc)
	}
	b.checked[sum] = problems
	return problems
}

func (r *Reconciler) branchNow() branch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.branch
}

// gitBackAt is when the remote could be read again after it could not.
func (r *Reconciler) gitBackAt() time.Time { return r.branchNow().backAt }

// firstError says in one line why a plan is not valid.
func firstError(problems []plan.Problem) string {
	n := 0
	first := ""
	for _, p := range problems {
		if p.Severity == plan.SeverityWarning {
			continue
		}
		if n == 0 {
			first = p.String()
		}
		n++
	}
	if n > 1 {
		first += fmt.Sprintf(" (and %d more)", n-1)
	}
	return strings.TrimSpace(first)
}
