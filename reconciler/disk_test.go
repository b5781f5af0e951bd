package reconciler_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// fullDisk refuses every write of a recorder while it is set.
type fullDisk struct {
	reconciler.Recorder
	full *atomic.Bool
}

func (r fullDisk) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	if r.full.Load() {
		return errors.New("write record: no space left on device")
	}
	return r.Recorder.Save(ctx, key, rec)
}

func TestAFullDiskKeepsNoTrafficFromGoingBackAndLetsNoneGoForward(t *testing.T) {
	g := newRig(t)
	var full atomic.Bool
	g.wrap = func(o *reconciler.Options) { o.Recorder = fullDisk{o.Recorder, &full} }
	g.start()
	g.travel("gradual@10", "gradual@25")
	full.Store(true)
	g.sampler.Set("errors", 0.2)
	st := g.await("rolled back and reverted", func(s reconciler.Status) bool {
		return s.Effective.String() == "gradual@10" && s.Declared == s.Effective && s.Pending == nil
	})
	if !strings.Contains(st.Error, "no space left") {
		t.Errorf("the status does not name the disk: %q", st.Error)
	}
	if s := g.subjects(); s[0] != `Revert "shop: gradual@25"` || s[1] != "shop: gradual@25" {
		t.Errorf("the log is %q", s)
	}
	g.sampler.Set("errors", 0)
	g.raise("setup")
	g.await("a person's lower", func(s reconciler.Status) bool { return s.Effective.String() == "setup" && s.Declared == s.Effective })
	g.raise("gradual@10")
	time.Sleep(300 * time.Millisecond)
	if st, _ := g.r.Status(shop); st.Effective.String() != "setup" || st.Error == "" {
		t.Errorf("the plan is at %s with error %q", st.Effective, st.Error)
	}
	full.Store(false)
	g.awaitSteady("gradual@10")
	g.stop()
	g.start()
	g.awaitSteady("gradual@10")
}
