package git

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// promotions checks that each commit since the last verified revision which
// changes a plan is signed. One that is not is forgiven where head has again
// what was verified of all that it changed.
func (v *verifier) promotions(ctx context.Context, head plumbing.Hash) error {
	chain, err := v.r.chain(ctx, revision(v.last), revision(head))
	if err != nil {
		return err
	}
	type offence struct {
		commit *commit
		why    string
	}
	offences := map[string]offence{}
	for _, c := range chain {
		if err := ctx.Err(); err != nil {
			return classify("verify", err, "")
		}
		why, err := v.fault(c)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		if said := saysTo(c); said != "" {
			return &reconciler.UnverifiedError{Commit: revision(c.hash), Reason: fmt.Sprintf("%s, and it carries the trailer %s", why, said)}
		}
		changed, err := v.r.changed(ctx, c)
		if err != nil {
			return err
		}
		for _, p := range changed {
			if _, ok := offences[p]; !ok {
				offences[p] = offence{c, why}
			}
		}
	}
	if len(offences) == 0 {
		return nil
	}
	was, err := v.r.plansAt(ctx, v.last)
	if err != nil {
		return err
	}
	now, err := v.r.plansAt(ctx, head)
	if err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(offences)) {
		if was[p] != now[p] || strings.HasPrefix(was[p], invalidMark) {
			o := offences[p]
			return &reconciler.UnverifiedError{Commit: revision(o.commit.hash), Reason: fmt.Sprintf("%s, and it changes %s", o.why, p)}
		}
	}
	return nil
}

// saysTo is the trailer by which a commit says something to plans, or empty.
func saysTo(c *commit) string {
	m := parseMessage(c.message)
	for _, name := range []string{trailerRollbackOf, trailerUnhold, trailerResume} {
		if len(m.all(name)) > 0 {
			return name
		}
	}
	return ""
}

// changed names what a commit changed of plans against its first parent.
func (r *Repository) changed(ctx context.Context, c *commit) ([]string, error) {
	now, err := r.plansAt(ctx, c.hash)
	if err != nil {
		return nil, err
	}
	was, err := r.plansAt(ctx, c.parent())
	if err != nil {
		return nil, err
	}
	var out []string
	for p, state := range now {
		if was[p] != state {
			out = append(out, p)
		}
	}
	for p := range was {
		if _, ok := now[p]; !ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// invalidMark begins the state of a plan's file that cannot be used.
const invalidMark = "invalid "

// plansAt names what each plan's file is and reads at a commit, by path, and what
// the folder of approvals is: all that decides what a plan does. It is empty for
// no commit.
func (r *Repository) plansAt(ctx context.Context, h plumbing.Hash) (map[string]string, error) {
	out := map[string]string{}
	if h.IsZero() {
		return out, nil
	}
	c, err := r.store.commit(h)
	if err != nil {
		return nil, err
	}
	files, err := r.index.files(ctx, r.store, c.tree)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		d, err := r.index.at(r.store, c.tree, f)
		if err != nil {
			return nil, err
		}
		out[f.path] = d.state(f)
	}
	dir := path.Join(r.o.Path, approvalsDir)
	if e, ok, err := lookup(r.store, c.tree, dir); err != nil {
		return nil, err
	} else if ok {
		out[dir] = e.id()
	}
	return out, nil
}

func (d *decoded) state(f file) string {
	var b strings.Builder
	if plan.HasErrors(d.problems) {
		b.WriteString(invalidMark)
	}
	fmt.Fprintf(&b, "%o %s", uint32(f.mode), f.blob)
	for _, r := range d.reads {
		fmt.Fprintf(&b, "\n%s %s", r.Path, r.ID)
	}
	return b.String()
}
