package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// Contract implements reconciler.Cluster.
func (c *Cluster) Contract(ctx context.Context, d reconciler.Desired) error {
	p, err := c.begin(ctx, d)
	if err != nil {
		return err
	}
	defer p.end()
	// Health is asked before replicas are lowered: of those that stay.
	ok, why, err := p.healthy(ctx)
	if err == nil && !ok {
		err = fmt.Errorf("nothing is lowered or deleted before everything is ready: %s", why)
	}
	if err != nil {
		return err
	}
	if err := c.extend(ctx, p.s, p.acc, p.items); err != nil {
		return err
	}
	if err := p.apply(ctx, false); err != nil {
		return err
	}
	return p.prune(ctx)
}

// prune deletes what is not desired any more and has the inventory list what is
// left.
func (p *pass) prune(ctx context.Context) error {
	lefts, err := p.leftovers(ctx)
	if err != nil {
		return err
	}
	var doomed []*leftover
	for _, l := range lefts {
		switch l.fate {
		case fateDelete:
			doomed = append(doomed, l)
		case fateAdopted:
			p.c.o.Log.Info("an object that was applied is left to another", "plan", p.s.key.String(), "object", title(l.id), "why", l.why)
		default:
		}
	}
	if p.d.Prune {
		if err := p.few(doomed); err != nil {
			return err
		}
		// What came first goes last.
		slices.SortStableFunc(doomed, func(a, b *leftover) int { return compareSteps(stepOf(b.id), stepOf(a.id)) })
		for _, group := range bySteps(doomed) {
			if err := joined(each(ctx, p.c.o.Log, group, p.delete)); err != nil {
				return err
			}
		}
	}
	return p.settle(ctx, lefts)
}

// few refuses to delete more than the stop may.
func (p *pass) few(doomed []*leftover) error {
	if len(doomed) <= p.d.MaxPrune {
		return nil
	}
	return fmt.Errorf("nothing is deleted: %d objects are not wanted any more, and this stop may delete %d: %s; if that is meant, raise maxPrune of the phase's cluster to %d or more",
		len(doomed), p.d.MaxPrune, first(titles(doomed)), len(doomed))
}

func titles(lefts []*leftover) []string {
	names := make([]string, len(lefts))
	for i, l := range lefts {
		names[i] = title(l.id)
	}
	return names
}

func bySteps(sorted []*leftover) [][]*leftover {
	var out [][]*leftover
	for i, l := range sorted {
		if i == 0 || stepOf(l.id) != stepOf(sorted[i-1].id) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], l)
	}
	return out
}

// deleteAttempts is how often a deletion is tried while the object changes.
const deleteAttempts = 3

// delete asks for an object to be deleted, if it is still the one that was
// looked at, and notes whether it is gone.
func (p *pass) delete(ctx context.Context, l *leftover) error {
	background := metav1.DeletePropagationBackground
	p.s.unknown(l.id)
	if l.known {
		if *l = *p.judge(ctx, l.id, l.others); l.err != nil {
			return fmt.Errorf("delete %s: %w", title(l.id), l.err)
		}
	}
	for attempt := 1; l.fate == fateDelete; attempt++ {
		uid, version := uidOf(l.live), versionOf(l.live)
		err := p.acc.Resource(l.mapping, l.id.Namespace).Delete(ctx, l.id.Name, metav1.DeleteOptions{
			PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
			DryRun: p.acc.DryRun(),
		})
		changed := apierrors.IsConflict(err) && attempt < deleteAttempts
		if err != nil && !apierrors.IsNotFound(err) && !changed {
			return fmt.Errorf("delete %s: %w", title(l.id), client.Explain(err))
		}
		// It is judged anew: it may be gone, or somebody may want it.
		*l = *p.judge(ctx, l.id, l.others)
		if l.err != nil {
			return fmt.Errorf("delete %s: %w", title(l.id), l.err)
		}
		if err == nil {
			p.c.o.Log.Info("deleted what is not wanted any more", "plan", p.s.key.String(), "object", title(l.id))
			break
		}
	}
	if l.id.Group == groupCRD {
		p.acc.Forget()
	}
	return nil
}

// settle has the inventory list what is desired, and of the leftovers those
// that are still this plan's.
func (p *pass) settle(ctx context.Context, lefts []*leftover) error {
	drop := map[render.ID]bool{}
	for _, l := range lefts {
		if l.fate == fateGone || l.fate == fateAdopted {
			drop[l.id] = true
		}
		p.remember(l)
	}
	if len(drop) == 0 {
		return nil
	}
	return p.c.writeInventory(ctx, p.s, func(inv *inventory, _ *unstructured.Unstructured) bool {
		n := len(inv.ids)
		maps.DeleteFunc(inv.ids, func(id render.ID, _ bool) bool { return drop[id] })
		for id := range drop {
			if id.Group == groupBatch && id.Kind == kindJob {
				delete(inv.finished, jobKey(id))
			}
		}
		return len(inv.ids) != n
	})
}

func (p *pass) remember(l *leftover) {
	if l.known {
		return
	}
	p.s.setLeft(l.id, left{fate: l.fate, why: l.why, version: versionOf(l.live), mapping: l.mapping})
}
