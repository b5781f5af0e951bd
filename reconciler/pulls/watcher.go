package pulls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/forge"
)

// Forge is what is used of forge.Client.
type Forge interface {
	Pulls(ctx context.Context, base string) ([]forge.Pull, error)
	SetStatus(ctx context.Context, commit string, s forge.Status) (changed bool, err error)
	Comment(ctx context.Context, number int, text string, create bool) (forge.Outcome, error)
	Open(ctx context.Context, n forge.NewPull) (p forge.Pull, opened bool, err error)
	HeadRef(number int) string
}

// Report is what is said about a change.
type Report struct {
	// Text of the comment. Its first line is forge.Marker.
	Text string
	// Plans that the change is about.
	Plans []Verdict
}

// Verdict on what a change does to a plan, in one line.
type Verdict struct {
	Key  plan.Key
	OK   bool
	Text string
}

// Options of a Watcher. All are required.
type Options struct {
	Forge  Forge
	Branch string // that is watched
	// Fetch gets a commit from one of these refs, and tells the newest commit
	// that it shares with the branch. Review says what going from that one to
	// the head would do. They are called from one goroutine.
	Fetch  func(ctx context.Context, refs []string, head plan.Revision) (shared plan.Revision, err error)
	Review func(ctx context.Context, shared, head plan.Revision) (Report, error)
	// Tip is where another branch is; empty where it is gone or merged.
	Tip      func(ctx context.Context, branch string) (plan.Revision, error)
	Interval time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// Bounds of the work.
const (
	maxWanted   = 200             // pull requests that wait to be opened
	maxStatuses = 50              // of one pull request
	maxReviews  = 50              // in one round
	oneReview   = 2 * time.Minute // for one pull request, the forge's limits included
	logAgain    = 10 * time.Minute
	wakeEvery   = 5 * time.Second // rounds that are asked for beside the interval
	wakeBurst   = 3
)

// Watcher is safe for use by several goroutines.
type Watcher struct {
	o    Options
	woke chan struct{}

	mu     sync.Mutex
	wanted map[string]reconciler.PullRequest // by branch
	opened map[string]plan.Revision          // where branches were that need none any more

	// Of the goroutine that runs.
	told   map[int]told
	failed map[string]failure
}

// told is what a pull request was told about.
type told struct{ head, shared plan.Revision }

// failure is what was last logged, and when.
type failure struct {
	text string
	at   time.Time
}

var _ reconciler.PullRequests = (*Watcher)(nil)

// New makes a Watcher; it does nothing before Run.
func New(o Options) *Watcher {
	return &Watcher{
		o: o, woke: make(chan struct{}, 1), wanted: map[string]reconciler.PullRequest{}, opened: map[string]plan.Revision{},
		told: map[int]told{}, failed: map[string]failure{},
	}
}

// Wake has a round begin soon. It does not wait for that, and many calls are
// one round.
func (w *Watcher) Wake() {
	select {
	case w.woke <- struct{}{}:
	default: // one that has not begun sees the same
	}
}

// Open implements reconciler.PullRequests.
func (w *Watcher) Open(p reconciler.PullRequest) {
	w.mu.Lock()
	_, known := w.wanted[p.Branch]
	_, seen := w.opened[p.Branch]
	if known || len(w.wanted) < maxWanted {
		w.wanted[p.Branch] = p
	}
	w.mu.Unlock()
	if !known && !seen {
		w.Wake()
	}
}

// Run works until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.o.Interval)
	defer tick.Stop()
	woken := rate.NewLimiter(rate.Every(wakeEvery), wakeBurst)
	for {
		w.Round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.woke:
			if woken.Wait(ctx) != nil {
				return nil
			}
		}
	}
}

// Round opens what waits to be opened, and looks at all pull requests once.
func (w *Watcher) Round(ctx context.Context) {
	if w.openWanted(ctx) != nil {
		return // the forge wants no calls
	}
	var all []forge.Pull
	err := w.guarded(func() (err error) {
		all, err = w.o.Forge.Pulls(ctx, w.o.Branch)
		return err
	})
	w.note(ctx, "the pull requests could not be listed", err)
	if err != nil {
		return
	}
	open := map[int]bool{}
	reviews := 0
	for _, p := range all {
		open[p.Number] = true
		if reviews >= maxReviews || ctx.Err() != nil {
			continue
		}
		var did bool
		err := w.guarded(func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, oneReview)
			defer cancel()
			did, err = w.tell(ctx, p)
			return err
		})
		if did {
			reviews++
		}
		w.note(ctx, fmt.Sprintf("pull request %d could not be told what it would do", p.Number), err)
		if limited(err) {
			break
		}
	}
	for number := range w.told {
		if !open[number] {
			delete(w.told, number)
		}
	}
}

// limited reports whether the forge wants no calls for a while.
func limited(err error) bool {
	var e *forge.Error
	return errors.As(err, &e) && !e.Until.IsZero()
}

// tell sets the statuses and the comment of one pull request, unless they say
// what they should already. did is false where nothing had to be looked at.
func (w *Watcher) tell(ctx context.Context, p forge.Pull) (did bool, err error) {
	head := plan.Revision(p.Head)
	refs := []string{w.o.Forge.HeadRef(p.Number)}
	if !p.Fork {
		refs = append(refs, "refs/heads/"+p.Branch)
	}
	last, known := w.told[p.Number]
	shared, err := w.o.Fetch(ctx, refs, head)
	if err != nil || known && last == (told{head, shared}) {
		return err != nil, err
	}
	report, err := w.o.Review(ctx, shared, head)
	if err != nil {
		return true, err
	}
	for _, v := range report.Plans[:min(len(report.Plans), maxStatuses)] {
		s := forge.Status{Context: forge.StatusContext(v.Key), State: forge.Success, Description: v.Text, Branch: p.Branch}
		if !v.OK {
			s.State = forge.Failure
		}
		changed, err := w.o.Forge.SetStatus(ctx, p.Head, s)
		if err != nil {
			return true, err
		}
		if changed {
			w.o.Log.Info("set a status", "pull_request", p.Number, "commit", p.Head, "status", s.Context, "state", string(s.State))
		}
	}
	outcome, err := w.o.Forge.Comment(ctx, p.Number, report.Text, len(report.Plans) > 0)
	if err != nil {
		return true, err
	}
	if outcome == forge.Created || outcome == forge.Edited {
		w.o.Log.Info("commented", "pull_request", p.Number, "outcome", string(outcome))
	}
	w.told[p.Number] = told{head, shared}
	return true, nil
}

// openWanted opens the pull requests that wait. Its error is that the forge
// wants no calls.
func (w *Watcher) openWanted(ctx context.Context) error {
	w.mu.Lock()
	all := make([]reconciler.PullRequest, 0, len(w.wanted))
	for _, p := range w.wanted {
		all = append(all, p)
	}
	clear(w.wanted)
	w.mu.Unlock()
	for i, p := range all {
		err := w.guarded(func() error { return w.open(ctx, p) })
		w.note(ctx, fmt.Sprintf("no pull request could be opened for branch %s", p.Branch), err)
		if err == nil {
			continue
		}
		w.again(p)
		if limited(err) {
			for _, q := range all[i+1:] {
				w.again(q)
			}
			return err
		}
	}
	return nil
}

// again has one tried in the next round, unless it is wanted anew already.
func (w *Watcher) again(p reconciler.PullRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.wanted[p.Branch]; !ok {
		w.wanted[p.Branch] = p
	}
}

// open opens one, where its branch still waits and has none.
func (w *Watcher) open(ctx context.Context, p reconciler.PullRequest) error {
	tip, err := w.o.Tip(ctx, p.Branch)
	if err != nil {
		return err
	}
	w.mu.Lock()
	last, seen := w.opened[p.Branch]
	w.mu.Unlock()
	if seen && last == tip {
		return nil
	}
	if tip == "" {
		w.saw(p.Branch, tip)
		return nil
	}
	pull, opened, err := w.o.Forge.Open(ctx, forge.NewPull{Branch: p.Branch, Base: w.o.Branch, Title: p.Title, Body: p.Body, Head: string(tip)})
	if err != nil {
		return err
	}
	if opened {
		w.o.Log.Info("opened a pull request", "plan", p.Key.String(), "branch", p.Branch, "url", pull.URL)
	}
	w.saw(p.Branch, tip)
	return nil
}

// saw remembers that nothing is left to do for a branch at this tip.
func (w *Watcher) saw(branch string, tip plan.Revision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.opened) > 10*maxWanted {
		clear(w.opened) // of branches that are long merged
	}
	w.opened[branch] = tip
}

// note logs a failure: when it is new, and again after a while.
func (w *Watcher) note(ctx context.Context, what string, err error) {
	if err == nil {
		delete(w.failed, what)
		return
	}
	now := w.o.Now()
	if last, ok := w.failed[what]; ctx.Err() != nil || ok && last.text == err.Error() && now.Sub(last.at) < logAgain {
		return
	}
	if len(w.failed) > 10*maxWanted {
		clear(w.failed) // of pull requests that are long closed
	}
	w.failed[what] = failure{err.Error(), now}
	w.o.Log.Warn("the forge is asked again later", "what", what, "err", err.Error())
}

// guarded turns a panic into an error: what is looked at was written by anybody.
func (w *Watcher) guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.o.Log.Error("panic", "what", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}
