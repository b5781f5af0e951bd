package transform

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// sampled reports whether a source is among those that are compared: always the
// same ones.
func sampled(uid string, p plan.Percent) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // never fails
	return float64(h.Sum32()%10000) < float64(p)*100
}

// compare reads the targets of all sources, or of the sample, back, compares them
// with what the sources become, and reads the verify expressions. again: something
// is not as it should be, was noted as a failure, and has been tried until it was.
func (j *job) compare(ctx context.Context, report *Report) (again bool, err error) {
	report.Compared = 0
	var mu sync.Mutex
	err = j.eachPage(ctx, func(page []unstructured.Unstructured) error {
		var g errgroup.Group
		g.SetLimit(j.t.Plan.Parallelism)
		var lost error
		for i := range page {
			if !sampled(string(page[i].GetUID()), report.Sample) || ctx.Err() != nil {
				continue
			}
			g.Go(func() error {
				fresh, err := j.compareOne(ctx, &page[i])
				mu.Lock()
				defer mu.Unlock()
				switch key := page[i].GetNamespace() + "/" + page[i].GetName(); {
				case client.Unreachable(err):
					lost = err
				case err != nil:
					j.fails(key, err)
					again = true
				case fresh:
					again = again || j.passes < maxPasses
				default:
					report.Compared++
				}
				return nil
			})
		}
		_ = g.Wait() // each error stands with its source
		j.tell(fmt.Sprintf("transform %s: %d compared", j.t.Plan.Name, report.Compared))
		return lost
	})
	if err != nil || !again || ctx.Err() != nil {
		return again, err
	}
	j.waitDue(ctx)
	return true, nil
}

// waitDue waits until the first failed source is to be tried again.
func (j *job) waitDue(ctx context.Context) {
	j.tell("")
	if due, next := j.due(); len(due) == 0 && !next.IsZero() {
		sleep(ctx, next.Sub(j.r.o.Now()))
	}
}

// compareOne compares the targets of one source. fresh: the source was changed
// since it was transformed.
func (j *job) compareOne(ctx context.Context, u *unstructured.Unstructured) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
	defer cancel()
	read := content(u.Object)
	j.mu.Lock()
	rec := j.s.records[u.GetNamespace()+"/"+u.GetName()]
	j.mu.Unlock()
	if rec == nil || rec.UID != string(u.GetUID()) || rec.Read != hash(read) {
		return true, nil
	}
	want, err := j.want(ctx, u, read)
	if err != nil {
		return false, err
	}
	live := map[string]map[string]any{}
	for i := range want {
		w := &want[i]
		o, err := j.get(ctx, w.mapping, w.id)
		if err != nil {
			return false, fmt.Errorf("%s: %w", w.id, err)
		}
		if o == nil {
			return false, fmt.Errorf("%s is not there: others have deleted it; it is made again", w.id)
		}
		t := rec.target(w.id)
		if same := t != nil && t.Live == liveHash(o); !same {
			if at := differs(w.object, o, ""); at != "" {
				return false, fmt.Errorf("%s differs in %s", w.id, strings.TrimPrefix(at, "."))
			}
		}
		live[w.name] = o
	}
	broken, err := j.t.Verify(ctx, read, live, j.key)
	if err != nil {
		return false, err
	}
	if len(broken) > 0 {
		return false, errors.New("verify does not hold: " + strings.Join(broken, "; "))
	}
	return false, nil
}
