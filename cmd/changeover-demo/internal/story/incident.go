package story

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/admin"
	"github.com/changeover-dev/changeover/plan"
)

// faultEvery: one in so many requests of the broken modern service fails.
const faultEvery = 5

// breach breaks modern and watches the traffic leave it.
func (s *story) breach(ctx context.Context) error {
	s.chapter(5, "Modern breaks; the rollback gate breaches and traffic goes back")
	src, err := s.repo.Read(ctx, planPath)
	if err != nil {
		return err
	}
	promQL, err := query(src, "modernErrorRate")
	if err != nil {
		return err
	}
	broken := time.Now()
	s.modern.Break(faultEvery)
	s.say(modern, "broken: one in %d of its answers is now a 500", faultEvery)
	if err := s.awaitRate(ctx, promQL, "above", func(v float64) bool { return v > threshold }); err != nil {
		return err
	}
	visible := time.Now()
	s.say(metrics, "the error rate is above %.0f %%, %.1f s after the fault began; the gate wants to see that for %s", 100*threshold, visible.Sub(broken).Seconds(), gateFor)

	var rollback admin.Entry
	err = s.await(ctx, "the daemon decides Rollback", 20*time.Second, func(ctx context.Context) (bool, string) {
		_, saw := s.observe(ctx)
		e, ok, err := s.admin.LastRollback(ctx)
		if err != nil {
			saw += "; " + err.Error()
		}
		rollback = e
		return ok, saw
	})
	if err != nil {
		return err
	}
	gate, value, err := breached(rollback)
	if err != nil {
		return err
	}
	s.say(daemon, "Rollback %s -> %s: gate %s breached: %s, value %.4f, threshold %.4f", rollback.From, rollback.To, gate.Name, gate.Expr, value, threshold)
	if err := expect(rollback.To == gradual(25), "a rollback to gradual@25", "%s", rollback.To); err != nil {
		return err
	}
	err = s.await(ctx, "customers see the 25 % again", 10*time.Second, func(ctx context.Context) (bool, string) {
		s.lookForRevert(ctx)
		return s.back()
	})
	if err != nil {
		return err
	}
	released := s.split.Without(s.at25)
	last := s.load.Ledger.LastModern(released)
	before := s.split.Share()
	s.split = s.at25
	s.say(client, "measured: %s, exactly those of 25 %%; before: %.1f %%", s.figures(), before)
	s.say(client, "of the %d who joined at 50 %%, the last to meet modern asked %.1f s after the breach was visible, %.1f s after the fault began",
		len(released), last.Sub(visible).Seconds(), last.Sub(broken).Seconds())
	s.visible = visible
	s.modern.Break(0)
	s.say(modern, "healed by its people, now that the traffic is off it")
	return nil
}

// awaitRate waits until Prometheus, asked as the daemon asks it, has such an
// error rate.
func (s *story) awaitRate(ctx context.Context, promQL, what string, is func(float64) bool) error {
	expected := fmt.Sprintf("Prometheus has an error rate %s %v", what, threshold)
	return s.await(ctx, expected, 15*time.Second, func(ctx context.Context) (bool, string) {
		s.observe(ctx)
		v, ok, err := s.prom.Value(ctx, promQL)
		return err == nil && ok && is(v), fmt.Sprintf("value %v, one series %v, error %v", v, ok, err)
	})
}

// breached finds the gate in a rollback's evidence.
func breached(e admin.Entry) (admin.Gate, float64, error) {
	for _, g := range e.Evidence {
		value, known := g.Values["modernErrorRate"]
		if g.Effect == plan.Breaches && g.Name == gateName && g.Verdict == "Pass" && known {
			return g, value, expect(value > threshold, fmt.Sprintf("evidence above %v", threshold), "%v", value)
		}
	}
	return admin.Gate{}, 0, expect(false, "the rollback's evidence holds the gate "+gateName+" and its value", "%+v", e)
}

// lookForRevert notes when there is a commit on top of the promotion.
func (s *story) lookForRevert(ctx context.Context) string {
	head, err := s.repo.Head(ctx)
	switch {
	case err != nil:
		return err.Error()
	case head == s.raised.Revision:
		return "the branch is still at the promotion"
	case s.revert.commit == "":
		s.revert = seen{head, time.Now()}
	}
	return "the branch is at " + head.Short()
}

// reverted looks at the commit that the daemon made.
func (s *story) reverted(ctx context.Context) error {
	s.chapter(6, "Git tells the truth: the daemon has reverted the promotion")
	err := s.await(ctx, "a revert commit on "+s.repo.Bare, 15*time.Second, func(ctx context.Context) (bool, string) {
		_, saw := s.observe(ctx)
		saw = s.lookForRevert(ctx) + "; " + saw
		return s.revert.commit != "", saw
	})
	if err != nil {
		return err
	}
	head := s.revert.commit
	author, message, err := s.repo.Message(ctx, head)
	if err != nil {
		return err
	}
	diff, err := s.repo.Diff(ctx, head)
	if err != nil {
		return err
	}
	s.say(host, "%s by %s, %.1f s after the breach was visible", head.Short(), author, s.revert.at.Sub(s.visible).Seconds())
	s.quote(strings.Split(message, "\n")...)
	s.quote("")
	s.quote(diff...)
	if err := expect(author == "Changeover", "a commit by Changeover", "author %q", author); err != nil {
		return err
	}
	undone := []string{strings.Replace(s.raised.Diff[1], "+", "-", 1), strings.Replace(s.raised.Diff[0], "-", "+", 1)}
	if err := expect(slices.Equal(diff, undone), "exactly the promotion's line changed back", "%q", diff); err != nil {
		return err
	}
	for key, want := range map[string]string{
		"Changeover-Plan":        planKey.String(),
		"Changeover-Rollback-Of": string(s.raised.Revision),
		"Changeover-From":        gradual(50).String(),
		"Changeover-To":          gradual(25).String(),
		"Changeover-Gate":        gateName,
	} {
		got, err := s.repo.Trailer(ctx, head, key)
		if err != nil {
			return err
		}
		if err := expect(got == want, fmt.Sprintf("trailer %s: %s", key, want), "%q", got); err != nil {
			return err
		}
	}
	s.try("git --git-dir "+s.repo.Bare+" log -p "+s.raised.Revision.Short()+"..", s.command("history"))
	return nil
}

// quiet is how long nothing must happen once modern looks healthy again.
const quiet = 5 * time.Second

// quarantine sees that a healthy modern and a commit on top bring nothing back.
func (s *story) quarantine(ctx context.Context) error {
	s.chapter(7, "Quarantine: what was rolled back does not come back by itself")
	docs, err := s.repo.Commit(ctx, "docs: say who answers for orders", "README.md", []byte("Orders are Dana's.\n"))
	if err != nil {
		return err
	}
	s.say(dana, "pushed %s %q on top", docs.Revision.Short(), docs.Subject)
	src, err := s.repo.Read(ctx, planPath)
	if err != nil {
		return err
	}
	promQL, err := query(src, "modernErrorRate")
	if err != nil {
		return err
	}
	if err := s.awaitRate(ctx, promQL, "of 0, well below", func(v float64) bool { return v == 0 }); err != nil {
		return err
	}
	s.say(metrics, "the error rate is 0 again: modern is healthy, and the daemon still stays where it is")
	var status admin.Status
	for from := time.Now(); time.Since(from) < quiet; {
		var saw string
		status, saw = s.observe(ctx)
		if err := expect(status.Effective == gradual(25) && status.Declared == gradual(25), "gradual@25 stays declared and in effect", "%s", saw); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
	if err := expect(status.Head == docs.Revision, "the daemon has read the docs commit", "it is at %s", status.Head); err != nil {
		return err
	}
	if err := expect(status.Holding(s.raised.Revision), "the promotion "+s.raised.Revision.Short()+" is held", "%+v", status.Holds); err != nil {
		return err
	}
	return s.stillAt25(ctx, docs.Revision)
}

// stillAt25 looks at customers and Git.
func (s *story) stillAt25(ctx context.Context, docs plan.Revision) error {
	if err := s.measure(ctx, 25); err != nil {
		return err
	}
	if err := expect(slices.Equal(s.split.Modern, s.at25.Modern), "the same customers on modern as at 25 %", "%s", s.figures()); err != nil {
		return err
	}
	head, err := s.repo.Head(ctx)
	if err != nil {
		return err
	}
	if err := expect(head == docs, "no further commit by the daemon", "head is %s", head.Short()); err != nil {
		return err
	}
	s.say(daemon, "holds %s; only a person lifts that, by a new promotion or `changeover unhold`", s.raised.Revision.Short())
	s.say(client, "measured %s later: %s, the same ones as before the incident", quiet, s.figures())
	s.try(s.command("status"), fmt.Sprintf("%s unhold %s %s --repo %s --dry-run", s.binary(), planKey, s.raised.Revision.Short(), s.repo.Bare))
	return nil
}

// account closes the books.
func (s *story) account(ctx context.Context) error {
	s.chapter(8, "The books")
	log, err := s.repo.Log(ctx)
	if err != nil {
		return err
	}
	s.say(host, "git log")
	s.quote(log...)
	out, err := s.repo.Fsck(ctx)
	if err != nil {
		return err
	}
	if err := expect(out == "", "git fsck --strict finds nothing", "%s", out); err != nil {
		return err
	}
	s.say(host, "git fsck --strict: clean")
	faults := s.modern.Faults()
	t := s.load.Ledger.Totals()
	if err := expect(t.Failed == 0, "no request failed but by the broken modern service", "%d of %d: %s", t.Failed, t.Requests, strings.Join(t.Failures, "; ")); err != nil {
		return err
	}
	if err := expect(int64(t.Faults) == faults, fmt.Sprintf("the %d errors that modern made reach customers, no more", faults), "%d", t.Faults); err != nil {
		return err
	}
	s.say(client, "%d requests: %d by legacy, %d by modern; %d were the broken modern's own 500s; failed otherwise: 0", t.Requests, t.Legacy, t.Modern, t.Faults)
	return nil
}
