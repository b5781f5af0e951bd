package kube

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler/kube/status"
	"github.com/changeover-dev/changeover/render"
)

// Jobs with ttlSecondsAfterFinished go by themselves once they are finished.
// Made anew they would run again, so the inventory keeps of each what it was
// when it was complete: as long as the same is wanted, it counts as there.

// finishedField of the inventory has, for NAMESPACE/NAME of a Job, what it was.
const finishedField = "finished"

// fleeting names what a Job is that goes by itself; empty for all else. Marks
// do not count, as a new version of Changeover may have others.
func fleeting(it *item) string {
	spec, _ := it.object["spec"].(map[string]any)
	if it.id.Group != groupBatch || it.id.Kind != kindJob || spec["ttlSecondsAfterFinished"] == nil {
		return ""
	}
	d := digestOf(spec)
	return hex.EncodeToString(d[:16])
}

func jobKey(id render.ID) string { return id.Namespace + "/" + id.Name }

// readFinished reads what the inventory has of finished Jobs, where there may be
// any.
func (p *pass) readFinished(ctx context.Context) error {
	for _, it := range p.items {
		if fleeting(it) == "" {
			continue
		}
		inv, err := p.c.inventoryOf(ctx, p.s)
		if apierrors.IsForbidden(err) {
			return nil // health may be asked by who may not apply, and has no inventory
		}
		if err != nil {
			return err
		}
		p.finished = p.s.finished(inv)
		return nil
	}
	return nil
}

// isFinished reports whether an item is a Job that was complete and is gone.
func (p *pass) isFinished(it *item) bool {
	what := fleeting(it)
	return what != "" && p.finished[jobKey(it.id)] == what
}

// noteFinished has the inventory keep the Jobs that were just seen to be
// complete.
func (p *pass) noteFinished(ctx context.Context, items []*item, views []view) error {
	done := map[string]string{}
	for i, it := range items {
		what := fleeting(it)
		if what == "" || views[i].live == nil || p.finished[jobKey(it.id)] == what {
			continue
		}
		if ok, _ := status.Of(views[i].live, status.Unsaid); ok && views[i].differs == "" {
			done[jobKey(it.id)] = what
		}
	}
	if len(done) == 0 {
		return nil
	}
	err := p.c.writeInventory(ctx, p.s, func(inv *inventory, o *unstructured.Unstructured) bool {
		if o.GetResourceVersion() == "" {
			return false // it is made when the plan is applied again
		}
		inv.finished = maps.Clone(inv.finished)
		if inv.finished == nil {
			inv.finished = map[string]string{}
		}
		maps.Copy(inv.finished, done)
		return true
	})
	if apierrors.IsForbidden(err) {
		return nil // as above; who applies is told when he does
	}
	if err == nil {
		p.finished = maps.Clone(p.finished)
		if p.finished == nil {
			p.finished = map[string]string{}
		}
		maps.Copy(p.finished, done)
	}
	return err
}

func decodeFinished(text string) map[string]string {
	var m map[string]string
	_ = json.Unmarshal([]byte(text), &m) // what cannot be read is not known to be finished
	return m
}

func encodeFinished(data map[string]any, finished map[string]string) {
	delete(data, finishedField)
	if len(finished) > 0 {
		b, _ := json.Marshal(finished) // only strings
		data[finishedField] = string(b)
	}
}
