package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// unreadApprovals is a repository whose approvals cannot be read for a while.
type unreadApprovals struct {
	reconciler.Source
	unread *atomic.Bool
}

func (s unreadApprovals) Approvals(ctx context.Context, key plan.Key, rev plan.Revision) ([]decide.Approval, []plan.Problem, error) {
	if s.unread.Load() {
		return nil, nil, errors.New("too many files")
	}
	return s.Source.Approvals(ctx, key, rev)
}

// Consent is for going forward: what keeps it from being read keeps no breach
// from being answered.
func TestApprovalsThatCannotBeReadHoldUpNoRollback(t *testing.T) {
	g := newRig(t)
	var unread atomic.Bool
	g.wrap = func(o *reconciler.Options) { o.Source = unreadApprovals{o.Source, &unread} }
	text := strings.Replace(shopPlan, "  phases:\n", "  roles:\n    operations: {signers: [ann@example.com]}\n  phases:\n", 1)
	g.write("shop.yaml", text+"    - name: new-only\n      approvals: [{role: operations}]\n      routes: [{to: modern}]\n")
	g.commit("who approves the last phase")
	g.start()
	g.travel("gradual@10", "gradual@25")
	unread.Store(true)
	g.await("the reason in the status", func(s reconciler.Status) bool { return strings.Contains(s.Error, "too many files") })
	g.sampler.Set("errors", 0.2)
	g.await("the rollback", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && s.Pending == nil })
}

// What is wrong with an approval is shown and is no reason to do anything else.
func TestApprovalsThatAreNotValidAreShownAndDoNotCount(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.NewReplacer("  phases:\n", "  roles:\n    operations: {signers: [ann@example.com]}\n  phases:\n",
		"percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      approvals: [{role: operations}]").Replace(shopPlan))
	g.commit("who approves")
	g.start()
	g.awaitSteady("setup")
	raise := g.raise("gradual@10")
	g.approve("ann", "broken.yaml", "gradual@ten", raise)
	g.await("the problem is shown", func(s reconciler.Status) bool {
		return len(s.Problems) == 1 && strings.HasSuffix(s.Problems[0].File, "approvals/shop/broken.yaml") && s.Problems[0].Line == 3 &&
			s.Problems[0].Severity == plan.SeverityWarning && strings.Contains(s.Problems[0].Message, `"gradual@ten" is not a stop`) &&
			s.Effective.String() == "setup" && s.Decision.Reason == decide.ApprovalMissing && s.State == reconciler.StateWaiting
	})
	g.approve("ann", "right.yaml", "gradual@10", raise)
	g.awaitSteady("gradual@10")
	g.await("it is still shown", func(s reconciler.Status) bool { return len(s.Problems) == 1 })
	g.approve("ann", "broken.yaml", "gradual@10", raise)
	g.await("it was mended", func(s reconciler.Status) bool { return len(s.Problems) == 0 && s.Effective.String() == "gradual@10" })
}

// approve commits an approval of a stop as somebody, and pushes it.
func (g *rig) approve(who, file string, stop string, raise plan.Revision) {
	g.t.Helper()
	g.git("pull", "-q", "--rebase", "origin", "main")
	if err := os.MkdirAll(filepath.Join(g.clone, "approvals", "shop"), 0o755); err != nil {
		g.t.Fatal(err)
	}
	g.write("approvals/shop/"+file, fmt.Sprintf("apiVersion: changeover.dev/v1alpha1\nkind: Approval\n"+
		"spec: {plan: shop, stop: %s, raise: %s, role: operations}\n", stop, raise))
	g.git("add", "-A")
	g.git("commit", "-q", "-m", "approve", "--author", who+" <"+who+"@example.com>")
	g.git("push", "-q", "origin", "HEAD:main")
}

func TestOnlyTheRightPersonsApprovalOfThisRaiseAndStopCounts(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.NewReplacer("  phases:\n", "  roles:\n    operations: {signers: [ann@example.com, dana@example.com]}\n  phases:\n",
		"percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      approvals: [{role: operations}]").Replace(shopPlan))
	g.commit("who approves")
	g.start()
	g.awaitSteady("setup")
	raise := g.raise("gradual@10")
	waits := func(why string) {
		t.Helper()
		g.await(why, func(s reconciler.Status) bool {
			return s.Effective.String() == "setup" && s.Decision.Reason == decide.ApprovalMissing && strings.Contains(s.Decision.Message, why)
		})
	}
	waits("has 0")
	g.approve("dana", "own.yaml", "gradual@10", raise)
	waits("dana@example.com made the raise")
	g.approve("eve", "unlisted.yaml", "gradual@10", raise)
	waits("eve@example.com is no signer of the role operations")
	g.approve("ann", "other-stop.yaml", "gradual@25", raise)
	g.approve("ann", "other-raise.yaml", "gradual@10", "0123456789abcdef0123456789abcdef01234567")
	waits("it is for the raise 0123456789")
	g.approve("ann", "right.yaml", "gradual@10", raise)
	g.awaitSteady("gradual@10")

	// After a rollback the raise that was approved is gone, and its approval with it.
	g.sampler.Set("errors", 0.2)
	g.await("rolled back", func(s reconciler.Status) bool {
		return s.Effective.String() == "setup" && s.Pending == nil && s.Move == nil
	})
	g.sampler.Set("errors", 0)
	again := g.raise("gradual@10")
	waits("it is for the raise " + raise.Short())
	g.git("pull", "-q", "--rebase", "origin", "main")
	g.approve("ann", "again.yaml", "gradual@10", again)
	g.awaitSteady("gradual@10")
}

func TestAnApprovalThatWasRevertedDoesNotCount(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.NewReplacer("  phases:\n", "  roles:\n    operations: {signers: [ann@example.com]}\n  phases:\n",
		"percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      approvals: [{role: operations}]").Replace(shopPlan))
	g.commit("who approves")
	raise := g.raise("gradual@10")
	g.approve("ann", "ok.yaml", "gradual@10", raise)
	g.git("revert", "--no-edit", "HEAD")
	g.git("push", "-q", "origin", "HEAD:main")
	g.start()
	g.await("no approval", func(s reconciler.Status) bool {
		return s.Effective.String() == "setup" && s.Decision.Reason == decide.ApprovalMissing && !strings.Contains(s.Decision.Message, "does not count")
	})
}
