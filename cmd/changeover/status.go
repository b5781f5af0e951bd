package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// watchInterval is how often `status -w` asks.
const watchInterval = time.Second

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [PLAN]",
		Short: "Show where plans are, why, and what they wait for",
		Long: `Show all plans as a table, or one plan in full: what it is doing and why, what it waits for and until when, its
gates with their values, and what to do next. The running daemon is asked; where none runs, what it wrote last is
shown, and a note says so.`,
		Example: `  changeover status
  changeover status shop
  changeover status -w -n production`,
		Args: atMostOnePlan,
	}
	namespace := addNamespace(cmd)
	stateDir := a.addStateDir(cmd)
	out := addOutput(cmd, formatTable, formatWide, formatJSON, formatYAML)
	watch := cmd.Flags().BoolP("watch", "w", false, "go on and print a line whenever something changes")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		q := statusQuery{stateDir: *stateDir, namespace: *namespace, out: out}
		if len(args) == 1 {
			ref, err := parsePlan(args[0], *namespace)
			if err != nil {
				return err
			}
			q.ref = &ref
		}
		if *watch {
			return a.watchStatus(ctx, q)
		}
		return a.showStatus(ctx, q)
	})
	return cmd
}

func atMostOnePlan(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError("at most one PLAN is wanted, not %d arguments (%q)", len(args), args)
	}
	return nil
}

type statusQuery struct {
	stateDir  string
	namespace string
	ref       *planRef // nil: all
	out       *outputFlag
}

// ask returns the statuses that are wanted.
func (a *app) ask(ctx context.Context, q statusQuery) ([]reconciler.Status, error) {
	v, live, done, err := openView(ctx, q.stateDir)
	if err != nil {
		return nil, err
	}
	defer done()
	all, err := a.watchedPlans(ctx, v, live, q.stateDir)
	if err != nil {
		return nil, err
	}
	if q.ref != nil {
		s, err := pick(all, *q.ref)
		return []reconciler.Status{s}, err
	}
	if q.namespace != "" {
		all = slices.DeleteFunc(all, func(s reconciler.Status) bool { return s.Key.Namespace != q.namespace })
	}
	return all, nil
}

func (a *app) showStatus(ctx context.Context, q statusQuery) error {
	found, err := a.ask(ctx, q)
	if err != nil {
		return err
	}
	switch {
	case q.out.structured() && q.ref != nil:
		return q.out.write(a.stdout, found[0])
	case q.out.structured():
		return q.out.write(a.stdout, found)
	case q.ref != nil:
		a.describe(found[0], q.out.value == formatWide)
	case len(found) == 0:
		a.note("No plan yet. The daemon takes every MigrationPlan below the watched path of its branch.")
	default:
		several := slices.ContainsFunc(found, func(s reconciler.Status) bool { return s.Source != "" })
		a.table(a.stdout, "", append([][]cell{statusHeader(q.out, several)}, a.statusRows(found, q.out, several)...))
	}
	return nil
}

// statusHeader has a column for the source where the daemon has several.
func statusHeader(out *outputFlag, several bool) []cell {
	h := cells("NAMESPACE", "NAME", "DECLARED", "EFFECTIVE", "STATE", "REASON", "AGE")
	if several {
		h = append(cells("SOURCE"), h...)
	}
	if out.value == formatWide {
		h = append(h, cells("HEAD", "APPLIED", "FILE", "MESSAGE")...)
	}
	return h
}

func (a *app) statusRows(all []reconciler.Status, out *outputFlag, several bool) [][]cell {
	var rows [][]cell
	for _, s := range all {
		reason, why := web.Why(s)
		row := cells(s.Key.Namespace, s.Key.Name, s.Declared.String(), s.Effective.String(), dash(string(s.State)), dash(string(reason)), web.Age(s.Since, a.now()))
		row[4].colour = toneColours[web.StateTone(s.State)]
		if out.value == formatWide {
			row = append(row, cells(dash(s.Head.Short()), dash(s.Applied.Short()), dash(s.Path), why)...)
		}
		if several {
			row = append(cells(dash(s.Source)), row...)
		}
		rows = append(rows, row)
	}
	return rows
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// watchStatus prints what there is, and from then on what changed, until it is
// interrupted. A daemon that goes away for a while does not end it.
func (a *app) watchStatus(ctx context.Context, q statusQuery) error {
	news := &statusNews{query: q, last: map[whose]string{}}
	first, failing := true, ""
	for {
		found, err := a.ask(ctx, q)
		if err == nil {
			failing = ""
			if err := a.printNews(found, news); err != nil {
				return err
			}
		} else if ctx.Err() == nil {
			if first {
				return err
			}
			if failing != err.Error() {
				failing = err.Error()
				a.note("changeover: %v; trying again", err)
			}
		}
		first = false
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// statusNews is what was printed so far.
type statusNews struct {
	query  statusQuery
	last   map[whose]string
	widths []int // of the table's columns; nil before its header
	// several: the daemon has several sources.
	several bool
}

// whose tells plans of one name apart.
type whose struct {
	source string
	key    plan.Key
}

// printNews prints the statuses that differ from what was printed of them
// before.
func (a *app) printNews(found []reconciler.Status, news *statusNews) error {
	var rows [][]cell
	if news.widths == nil {
		news.several = slices.ContainsFunc(found, func(s reconciler.Status) bool { return s.Source != "" })
		rows = append(rows, statusHeader(news.query.out, news.several))
	}
	now := map[whose]string{}
	for _, s := range found {
		whose := whose{s.Source, s.Key}
		now[whose] = essence(s)
		switch {
		case news.last[whose] == now[whose]:
		case news.query.out.structured():
			if err := news.query.out.write(a.stdout, s); err != nil {
				return err
			}
		default:
			rows = append(rows, a.statusRows([]reconciler.Status{s}, news.query.out, news.several)...)
		}
	}
	news.last = now
	if !news.query.out.structured() && len(rows) > 0 {
		news.widths = a.table(a.stdout, "", rows, news.widths...)
	}
	return nil
}

// essence is what of a status is news: not its ages, and not its message,
// which carries values that change at every check.
func essence(s reconciler.Status) string {
	var blocks []decide.Reason
	for _, b := range s.Decision.Blocks {
		blocks = append(blocks, b.Reason)
	}
	branch := ""
	if s.Pending != nil {
		branch = s.Pending.Branch
	}
	return fmt.Sprint(s.Declared, s.Effective, s.State, s.Decision.Verb, s.Decision.Reason, s.Decision.Target, blocks, s.Head, s.Applied, s.Error,
		s.Halt != nil, s.Pending != nil, branch, len(s.Holds), s.Blind != nil && s.Blind.Told)
}
