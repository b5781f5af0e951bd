package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// event is one line of the history: a commit on the branch, or what the daemon
// did.
type event struct {
	At    time.Time
	Git   bool
	ID    string // the anchor of a commit
	Tone  Tone
	Title string
	Who   string // of a commit
	Text  string
	// Refs are commits that it names, each with what it is to them.
	Refs  []ref
	Short string // of a commit
}

// ref is a commit, linked where it is on the page.
type ref struct {
	Says, Short, Href string
}

// timeline joins the commits that changed a plan with what the daemon did, newest
// first. Entries are oldest first.
func timeline(changes []decide.Change, entries []reconciler.Entry) []event {
	onPage := map[plan.Revision]bool{}
	undoneBy := map[plan.Revision]plan.Revision{}
	for _, c := range changes {
		onPage[c.Commit] = true
		if c.RollbackOf != "" {
			undoneBy[c.RollbackOf] = c.Commit
		} else if c.Reverts != "" {
			undoneBy[c.Reverts] = c.Commit
		}
	}
	link := func(says string, rev plan.Revision) ref {
		r := ref{Says: says, Short: rev.Short()}
		if onPage[rev] {
			r.Href = "#c-" + rev.Short()
		}
		return r
	}
	out := make([]event, 0, len(changes)+len(entries))
	for _, c := range changes {
		out = append(out, commitEvent(c, undoneBy[c.Commit], link))
	}
	for _, e := range entries {
		ev := event{At: e.At, Title: entryTitle(e), Text: e.Message, Tone: entryTone(e)}
		for _, rev := range e.Commits {
			says := "undoes"
			if !onPage[rev] || slices.ContainsFunc(changes, func(c decide.Change) bool { return c.Commit == rev && c.RollbackOf != "" }) {
				says = "commit"
			}
			ev.Refs = append(ev.Refs, link(says, rev))
		}
		out = append(out, ev)
	}
	slices.SortStableFunc(out, func(a, b event) int { return b.At.Compare(a.At) })
	return out
}

func commitEvent(c decide.Change, undoneBy plan.Revision, link func(string, plan.Revision) ref) event {
	ev := event{At: c.At, Git: true, ID: "c-" + c.Commit.Short(), Title: c.Subject, Who: c.Author, Short: c.Commit.Short(), Tone: Calm}
	switch {
	case c.RollbackOf != "":
		ev.Tone = Bad
		ev.Refs = append(ev.Refs, link("rolls back", c.RollbackOf))
	case c.Reverts != "":
		ev.Refs = append(ev.Refs, link("reverts", c.Reverts))
	}
	if undoneBy != "" {
		ev.Refs = append(ev.Refs, link("undone by", undoneBy))
		ev.Tone = Warn
	}
	if c.Unhold != "" {
		ev.Refs = append(ev.Refs, link("lifts the hold of", c.Unhold))
	}
	switch {
	case c.From.IsZero():
		ev.Text = "Adds the plan, at " + place(c.To) + "."
	case c.From != c.To:
		ev.Text = fmt.Sprintf("Declares %s, before %s.", place(c.To), place(c.From))
	case c.Resume:
		ev.Text = "Lets the plan go on after a halt."
	case c.Content:
		ev.Text = "Changes the plan, not its position."
	}
	return ev
}

func entryTitle(e reconciler.Entry) string {
	from, to := place(e.From), place(e.To)
	switch e.Verb {
	case decide.Advance:
		if e.From.IsZero() {
			return "Entered " + to
		}
		return fmt.Sprintf("Advanced from %s to %s", from, to)
	case decide.Apply:
		return "Applied new content at " + to
	case decide.Retreat:
		return fmt.Sprintf("Went back from %s to %s, as Git declares", from, to)
	case decide.Rollback:
		if strings.HasPrefix(e.Message, "the revert ") || strings.HasPrefix(e.Message, "the branch ") {
			return "Revert"
		}
		return fmt.Sprintf("Rolled back from %s to %s", from, to)
	case decide.Complete:
		return "Complete at " + to
	case decide.Halt:
		return "Halted at " + to
	case decide.Hold:
	}
	return fmt.Sprintf("%s at %s", e.Reason, to)
}

func entryTone(e reconciler.Entry) Tone {
	switch {
	case e.Verb == decide.Rollback, e.Verb == decide.Halt:
		return Bad
	case e.Verb == decide.Complete, e.Verb == decide.Advance:
		return Good
	case e.Reason == decide.SplitMismatch, e.Reason == decide.Unverified, e.Reason == decide.Blind:
		return Warn
	}
	return Calm
}
