package reconciler_test

import (
	"context"
	"errors"
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

func (s unreadApprovals) Approvals(ctx context.Context, key plan.Key, rev plan.Revision) ([]decide.Approval, error) {
	if s.unread.Load() {
		return nil, errors.New("too many files")
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
