package claims_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/claims"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
)

func TestARecorderOfOneSourceIsARecorder(t *testing.T) {
	conformance.Recorder(t, func(*testing.T) reconciler.Recorder {
		var c claims.Claims
		return c.Recorder("orders", &fakes.Recorder{})
	})
}

var shop = plan.Key{Namespace: "default", Name: "shop"}

func TestTheFirstToLoadAPlanKeepsIt(t *testing.T) {
	var c claims.Claims
	mine, theirs := &fakes.Recorder{}, &fakes.Recorder{}
	a, b := c.Recorder("a", mine), c.Recorder("b", theirs)
	if _, _, err := a.Load(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.Load(t.Context(), shop)
	if !errors.Is(err, claims.ErrTaken) || !strings.Contains(err.Error(), `default/shop is that of source "a"; rename one of the two`) {
		t.Errorf("the second is answered %v", err)
	}
	if _, _, err := a.Load(t.Context(), shop); err != nil {
		t.Errorf("the first cannot load it again: %v", err)
	}
	if owner, ok := c.Owner(shop); owner != "a" || !ok {
		t.Errorf("the owner is %q, %v", owner, ok)
	}
	if err := b.SaveStatus(t.Context(), reconciler.Status{Key: shop}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := theirs.LoadStatus(t.Context(), shop); ok || err != nil {
		t.Errorf("a status of what is another's was kept: %v, %v", ok, err)
	}
}

// TestARestartKeepsWhatWasKept: the order in which sources are read after a
// restart does not count, who has a record does.
func TestARestartKeepsWhatWasKept(t *testing.T) {
	journal := &fakes.Recorder{}
	if err := journal.Save(t.Context(), shop, conformance.SampleRecord(1)); err != nil {
		t.Fatal(err)
	}
	if err := journal.Append(t.Context(), shop, reconciler.Entry{Message: "there"}); err != nil {
		t.Fatal(err)
	}
	var c claims.Claims
	late, early := c.Recorder("late", journal), c.Recorder("early", &fakes.Recorder{})
	for _, r := range []reconciler.Recorder{early, late} {
		if _, err := r.Keys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := early.Load(t.Context(), shop); !errors.Is(err, claims.ErrTaken) {
		t.Errorf("who has no record loads it: %v", err)
	}
	if rec, ok, err := late.Load(t.Context(), shop); !ok || err != nil || rec.Applied == nil {
		t.Errorf("who has the record does not load it: %v, %v", ok, err)
	}
	if h, err := late.History(t.Context(), shop, 10); len(h) != 1 || err != nil {
		t.Errorf("the history: %v, %v", h, err)
	}
}

func TestTheRecordOfWhatIsAnothersIsNotListed(t *testing.T) {
	journal := &fakes.Recorder{}
	if err := journal.Save(t.Context(), shop, conformance.SampleRecord(1)); err != nil {
		t.Fatal(err)
	}
	if err := journal.Append(t.Context(), shop, reconciler.Entry{Message: "old"}); err != nil {
		t.Fatal(err)
	}
	var c claims.Claims
	if _, _, err := c.Recorder("a", &fakes.Recorder{}).Load(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	b := c.Recorder("b", journal)
	if keys, err := b.Keys(t.Context()); err != nil || slices.Contains(keys, shop) {
		t.Errorf("listed: %v, %v", keys, err)
	}
	if h, err := b.History(t.Context(), shop, 10); err != nil || len(h) > 0 {
		t.Errorf("the history of another's plan: %v, %v", h, err)
	}
}

// TestOneOfManyWins: of sources that load a plan at the same time exactly one
// gets it.
func TestOneOfManyWins(t *testing.T) {
	for range 200 {
		var c claims.Claims
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			r := c.Recorder(fmt.Sprint(i), &fakes.Recorder{})
			all.Go(func() {
				if _, _, err := r.Load(context.Background(), shop); err == nil {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d sources have the plan", n)
		}
	}
}
