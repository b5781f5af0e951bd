package story

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/admin"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/repo"
	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/workload"
	"github.com/changeover-dev/changeover/plan"
)

// story is the stage with what was seen on it so far.
type story struct {
	*stage
	*narrator
	split   workload.Split // as last measured
	at25    workload.Split
	raised  repo.Commit // the newest promotion
	told    string      // of the daemon, last
	visible time.Time   // when Prometheus first showed the breach
	revert  seen        // of the promotion
}

// play goes from the empty repository to the quarantine.
func (s *story) play(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		s.begin,
		func(ctx context.Context) error { return s.raise(ctx, 2, 10) },
		func(ctx context.Context) error { return s.raise(ctx, 3, 25) },
		func(ctx context.Context) error { return s.raise(ctx, 4, 50) },
		s.breach,
		s.reverted,
		s.quarantine,
		s.account,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// seen is a commit and when it was first there.
type seen struct {
	commit plan.Revision
	at     time.Time
}

func gradual(percent plan.Percent) plan.Position {
	return plan.Position{Phase: "gradual", Percent: percent}
}

// begin commits the plan, starts the two processes and sends orders.
func (s *story) begin(ctx context.Context) error {
	s.chapter(1, "A plan in Git; every order is answered by the legacy service")
	if err := s.build(ctx); err != nil {
		return err
	}
	c, err := s.repo.Commit(ctx, "orders: plan the migration to the modern service", planPath, planFor(s.legacy.Addr(), s.modern.Addr()))
	if err != nil {
		return err
	}
	s.say(dana, "pushed %s %q: %s", c.Revision.Short(), c.Subject, planPath)
	s.quote("position: {phase: setup}")
	if err := s.startProcesses(); err != nil {
		return err
	}
	s.say(setting, "started the daemon (page http://%s) and the bridge (gateway http://%s)", s.page, s.gateway)
	if err := s.awaitStop(ctx, plan.Position{Phase: "setup"}, 20*time.Second); err != nil {
		return err
	}
	err = s.await(ctx, "the gateway answers an order", 10*time.Second, func(ctx context.Context) (bool, string) {
		err := s.answers(ctx)
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		return err
	}
	s.startLoad()
	s.say(client, "%d customers send %d requests a second, GET and POST, to the gateway", callers, rate)
	if err := s.measure(ctx, 0); err != nil {
		return err
	}
	s.say(client, "measured: %s", s.figures())
	s.try(fmt.Sprintf("curl -si -H '%s: %s' %s", header, workload.Name(1), s.orders()), s.command("status"))
	return nil
}

// raise promotes by a commit and measures what customers see of it.
func (s *story) raise(ctx context.Context, chapter int, percent plan.Percent) error {
	s.chapter(chapter, fmt.Sprintf("A promotion is one changed line: %s %%", percent))
	src, err := s.repo.Read(ctx, planPath)
	if err != nil {
		return err
	}
	if src, err = promote(src, gradual(percent)); err != nil {
		return err
	}
	s.raised, err = s.repo.Commit(ctx, fmt.Sprintf("orders: %s %% to the modern service", percent), planPath, src)
	if err != nil {
		return err
	}
	pushed := time.Now()
	s.say(dana, "pushed %s %q", s.raised.Revision.Short(), s.raised.Subject)
	s.quote(s.raised.Diff...)
	if err := s.awaitStop(ctx, gradual(percent), 25*time.Second); err != nil {
		return err
	}
	s.say(daemon, "entered %s %.1f s after the push", gradual(percent), time.Since(pushed).Seconds())
	before := s.split
	if err := s.measure(ctx, percent); err != nil {
		return err
	}
	left := before.Without(s.split)
	if err := expect(len(left) == 0, "every customer who was on modern stays there", "%d of %d left it", len(left), len(before.Modern)); err != nil {
		return err
	}
	t := s.load.Ledger.Totals()
	if err := expect(t.Failed+t.Faults+t.Returned == 0, "no failed request, and no customer sent back to legacy", "%+v", t); err != nil {
		return err
	}
	s.say(client, "measured: %s; before: %.1f %%", s.figures(), before.Share())
	s.say(client, "sticky: of the %d customers on modern before, 0 left it; %d requests, 0 failed", len(before.Modern), t.Requests)
	if percent == 25 {
		s.at25 = s.split
	}
	s.try(s.command("gates"), "git --git-dir "+s.repo.Bare+" log -p "+repo.Branch)
	return nil
}

// measure asks every customer once more who answers, and checks the share.
func (s *story) measure(ctx context.Context, declared plan.Percent) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second*time.Duration(max(1, s.patience)))
	defer cancel()
	split, err := s.load.Round(ctx)
	if err != nil {
		return err
	}
	s.split = split
	off := math.Abs(split.Share() - float64(declared))
	ok := off <= workload.Tolerance && (declared > 0 || len(split.Modern) == 0)
	return expect(ok, fmt.Sprintf("about %s %% of the customers on modern", declared), "%s", s.figures())
}

func (s *story) figures() string {
	return fmt.Sprintf("%d of %d customers on modern, %.1f %%", len(s.split.Modern), s.split.Callers, s.split.Share())
}

// awaitStop waits until the daemon reports that the stop is in effect.
func (s *story) awaitStop(ctx context.Context, stop plan.Position, within time.Duration) error {
	return s.await(ctx, fmt.Sprintf("the daemon reports %s as declared and in effect", stop), within, func(ctx context.Context) (bool, string) {
		status, saw := s.observe(ctx)
		return status.Declared == stop && status.Effective == stop, saw
	})
}

// observe asks the daemon, tells when its answer is a new one, and returns it
// with a line that describes it.
func (s *story) observe(ctx context.Context) (admin.Status, string) {
	status, err := s.admin.Status(ctx)
	if err != nil {
		return status, err.Error()
	}
	d := status.Decision
	saw := fmt.Sprintf("declared %s, in effect %s; %s %s: %s", status.Declared, status.Effective, d.Verb, d.Reason, d.Message)
	if status.Error != "" {
		saw += "; error: " + status.Error
	}
	// Messages carry values that change at every look.
	if what := fmt.Sprint(status.Declared, status.Effective, d.Verb, d.Reason); what != s.told && d.Verb != "" {
		s.told = what
		s.say(daemon, "%s", clip(saw, 150))
	}
	return status, saw
}

// clip shortens a line for the transcript; logs and status have it whole.
func clip(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + " ..."
	}
	return s
}

// back reports whether exactly the customers of 25 % are on modern now.
func (s *story) back() (bool, string) {
	now, ok := s.load.Ledger.Since(time.Time{})
	return ok && slices.Equal(now.Modern, s.at25.Modern), fmt.Sprintf("%d of %d customers on modern, expected the same %d as at 25 %%", len(now.Modern), now.Callers, len(s.at25.Modern))
}
