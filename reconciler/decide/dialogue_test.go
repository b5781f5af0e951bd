package decide

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// TestDialogues plays the stories in testdata/dialogues. Rewrite them with
// go test ./reconciler/decide -run Dialogues -args -rewrite, and read the diff.
//
//	plan                                      a plan file; starts a new world at r1
//	commit REV position=STOP quiet live suspend resume drop=STOP onBreach=X reverts=REV unhold=REV gone back author=X path=P
//	at +DURATION                              lets time pass and reads Git again
//	git stale|read|gone|invalid               the state of the branch
//	signal GATE=VERDICT [now=VERDICT]         a gate's verdict from here on
//	value SIGNAL=NUMBER|none                  what a baseline would remember of a signal
//	observe gateway=STOP healthy=BOOL [cluster=BOOL] [split=WORD]
//	unmet TEXT                                what the cluster does not offer
//	behind / took-back                        the last move back left something in data / it is taken back
//	step STEP                                 the move has come to that step
//	decide                                    prints the decision and begins it
//	explain                                   prints what blocks, and what comes next
//	fail MESSAGE                              the attempt at the move failed
//	done                                      the move was observed
//	run                                       decides and does until nothing is left to do
//	push [branch=NAME]                        the revert reaches the remote
//	rollback to=STOP                          a person asks for a rollback
//	rewritten REV                             the branch was rewritten to that revision alone
//	state                                     prints the record
//	others [NAME=STOP|complete|unknown|unread ...]   the connected plans; those in conflicts=(NAME,...) name this one
//	approve STOP author=X role=Y raise=REV [item=Z]
//	disapprove                                no approval is on the branch
//	facts [NAME=STOP|complete|unknown ...]    how other plans stand; from here on gates are evaluated, over facts alone
//	unread TEXT / read                        why approvals cannot be read
//	gates                                     prints the verdicts of the gates
//	watch                                     takes in whether the gates are known, and prints what is told
//	recheck                                   how long the answer stays as it is
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/dialogues", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "plan" {
				w = newWorld(d.Input)
				return w.String() + "\n"
			}
			return say(t, w, d)
		})
	})
}

func say(t *testing.T, w *world, d *datadriven.TestData) string {
	switch d.Cmd {
	case "commit":
		return commitCmd(t, w, d)
	case "at":
		dur, err := time.ParseDuration(strings.TrimPrefix(d.CmdArgs[0].Key, "+"))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		w.now = w.now.Add(dur)
		if !d.HasArg("unread") {
			w.git.ReadAt = w.now
		}
		return ""
	case "git":
		return gitCmd(t, w, d)
	case "signal":
		for _, a := range d.CmdArgs {
			if a.Key == "now" {
				continue
			}
			w.verdicts[a.Key] = gates.Verdict(a.Vals[0])
			delete(w.instant, a.Key)
			var now string
			if d.MaybeScanArgs(t, "now", &now) {
				w.instant[a.Key] = gates.Verdict(now)
			}
		}
		return ""
	case "value":
		for _, a := range d.CmdArgs {
			delete(w.values, a.Key)
			if v, err := strconv.ParseFloat(a.Vals[0], 64); err == nil {
				w.values[a.Key] = v
			}
		}
		return ""
	case "observe":
		var stop string
		var healthy bool
		d.ScanArgs(t, "gateway", &stop)
		d.ScanArgs(t, "healthy", &healthy)
		pos, err := plan.ParsePosition(stop)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		w.observed.Gateway = Part{Known: true, Stop: pos, Healthy: healthy, Message: "seen otherwise"}
		w.observed.Split = ""
		d.MaybeScanArgs(t, "split", &w.observed.Split)
		var cluster bool
		if d.MaybeScanArgs(t, "cluster", &cluster) {
			w.observed.Cluster = Part{Known: true, Healthy: cluster, Message: "Deployment so/web: 0 of 1 replicas are ready"}
		}
		return ""
	case "unmet":
		w.unmet = nil
		for _, a := range d.CmdArgs {
			w.unmet = append(w.unmet, a.Key)
		}
		return ""
	case "behind":
		w.rec = w.rec.LeftBehind(Behind{From: w.left.From, Revision: cmp.Or(w.left.Leaves, "applied"), Since: w.now})
		return fmt.Sprintf("%s by %s\n", w.rec.Behind.From, w.rec.Behind.Revision)
	case "took-back":
		w.rec = w.rec.TookBack()
		return ""
	case "step":
		w.rec = w.rec.Stepped(Step(d.CmdArgs[0].Key))
		return w.String() + "\n"
	}
	return act(t, w, d)
}

func act(t *testing.T, w *world, d *datadriven.TestData) string {
	switch d.Cmd {
	case "decide":
		dec := w.decide()
		w.begin(dec)
		return show(dec)
	case "explain":
		return explain(w.decide())
	case "fail":
		w.rec = w.rec.Failed("no answer")
		return w.String() + "\n"
	case "done":
		w.finish()
		return w.String() + "\n"
	case "run":
		var b strings.Builder
		for _, dec := range w.settle(20) {
			b.WriteString(show(dec))
		}
		return b.String() + w.String() + "\n"
	case "push":
		var branch string
		if d.MaybeScanArgs(t, "branch", &branch) {
			w.rec = w.rec.Pushed(branch)
			return w.String() + "\n"
		}
		return w.push() + "\n" + w.String() + "\n"
	case "rollback":
		return rollbackCmd(t, w, d)
	case "rewritten":
		rev := plan.Revision(d.CmdArgs[0].Key)
		w.head, w.valid = w.versions[rev], w.versions[rev]
		w.rec = w.rec.Rewritten(w.head.Plan.Itinerary(), rev, w.rec.Changes[:w.rec.change(rev)+1], w.now)
		return w.String() + "\n"
	case "state":
		return w.String() + "\n"
	}
	return beside(t, w, d)
}

func commitCmd(t *testing.T, w *world, d *datadriven.TestData) string {
	var pos, gate, onBreach string
	edit := func(p *plan.Plan) {
		if d.MaybeScanArgs(t, "position", &pos) {
			to, err := plan.ParsePosition(pos)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			p.Spec.Position = to
		}
		p.Spec.Suspend = d.HasArg("suspend")
		if d.HasArg("quiet") {
			for i := range p.Spec.Phases {
				for j := range p.Spec.Phases[i].Gates.Rollback {
					p.Spec.Phases[i].Gates.Rollback[j].Expr += " // " + d.CmdArgs[0].Key
				}
			}
		}
		if d.HasArg("live") {
			p.Spec.Backends.Modern.URL = "http://127.0.0.1:1" + fmt.Sprint(1000+len(w.rec.Changes))
		}
		if d.MaybeScanArgs(t, "drop", &gate) {
			dropStop(p, gate)
		}
		if d.MaybeScanArgs(t, "onBreach", &onBreach) {
			for i := range p.Spec.Phases {
				p.Spec.Phases[i].Rollback.OnBreach = plan.OnBreach(onBreach)
			}
		}
	}
	w.commit(plan.Revision(d.CmdArgs[0].Key), edit, func(c *Change) {
		var rev string
		if d.MaybeScanArgs(t, "reverts", &rev) {
			c.Reverts = plan.Revision(rev)
		}
		if d.MaybeScanArgs(t, "unhold", &rev) {
			c.Unhold = plan.Revision(rev)
		}
		d.MaybeScanArgs(t, "author", &c.Author)
		c.Resume = d.HasArg("resume")
		switch {
		case d.HasArg("gone"):
			c.To, c.Lower = plan.Position{}, true
		case d.HasArg("back"):
			c.From, c.Raise, c.Content, c.Live = plan.Position{}, true, true, true
		}
	})
	w.git.Gone = d.HasArg("gone")
	var path string
	if d.MaybeScanArgs(t, "path", &path) {
		v := w.versions[w.head.Revision]
		v.Path = path
		w.versions[v.Revision], w.head, w.valid = v, v, v
	}
	return w.String() + "\n"
}

// dropStop takes a percentage off the itinerary.
func dropStop(p *plan.Plan, stop string) {
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		panic(err)
	}
	ph := p.Phase(pos.Phase)
	var keep []plan.Percent
	for _, pc := range ph.Percents {
		if pc != pos.Percent {
			keep = append(keep, pc)
		}
	}
	ph.Percents = keep
}

func gitCmd(t *testing.T, w *world, d *datadriven.TestData) string {
	switch d.CmdArgs[0].Key {
	case "stale":
		w.git.ReadAt = w.now.Add(-w.limits.GitMaxAge - time.Second)
	case "read":
		w.git = Git{ReadAt: w.now}
	case "gone":
		w.git.Gone = true
	case "invalid":
		w.git.Invalid = "plan.yaml:3:1: unknown-field"
	default:
		d.Fatalf(t, "unknown state %q", d.CmdArgs[0].Key)
	}
	return ""
}

func rollbackCmd(t *testing.T, w *world, d *datadriven.TestData) string {
	var to string
	var pos plan.Position
	if d.MaybeScanArgs(t, "to", &to) {
		var err error
		if pos, err = plan.ParsePosition(to); err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	w.lastIn = w.input()
	dec, err := Request(w.lastIn, pos, "we saw errors")
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	w.begin(dec)
	return show(dec) + w.String() + "\n"
}

func show(d Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", d.Verb, d.Reason)
	if d.Verb != Hold {
		fmt.Fprintf(&b, " -> %s", d.Target)
	}
	if len(d.Undo) > 0 {
		fmt.Fprintf(&b, " undo %v", d.Undo)
	}
	fmt.Fprintf(&b, ": %s\n", d.Message)
	return b.String()
}
