package reconciler_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// lookout is a Notifier that keeps what it was told about gates that are not
// known.
type lookout struct {
	mu   sync.Mutex
	told []string
}

func (p *lookout) Notify(_ context.Context, _ plan.Key, e reconciler.Entry, page bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case e.Reason != decide.Blind && e.Reason != decide.DataKnown:
	case page:
		p.told = append(p.told, "page "+string(e.Reason))
	default:
		p.told = append(p.told, "notice "+string(e.Reason))
	}
}

func (p *lookout) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.told, ", ")
}

// Gates without data are paged after noDataAlert, once, and once more when they
// are known again. The time is in the record: restarts change nothing.
func TestBlindPagesOnceOverRestarts(t *testing.T) {
	g := newRig(t)
	p, ahead := &lookout{}, &atomic.Int64{}
	var reg *prometheus.Registry
	g.wrap = func(o *reconciler.Options) {
		reg = prometheus.NewRegistry()
		o.Notifier, o.Registerer = p, reg
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
	restart := func() { g.stop(); g.start() }
	blind := func(s reconciler.Status) bool { return s.Blind != nil }
	told := func(s reconciler.Status) bool { return blind(s) && s.Blind.Told }
	g.start()
	g.travel("gradual@10")
	g.sampler.Fail("late", errors.New("connection refused"))
	before := g.await("blind", blind)
	if names := before.Unknown(); len(names) != 1 || names[0].Name != "late" {
		t.Errorf("not known: %+v", names)
	}

	ahead.Store(int64(9 * time.Minute))
	restart()
	after := g.await("blind, before it is told", func(s reconciler.Status) bool { return blind(s) && s.CheckedAt.After(before.CheckedAt) })
	if after.Blind.Told || !after.Blind.Since.Equal(before.Blind.Since) || p.all() != "" {
		t.Errorf("after a restart %+v, before it %+v; told %q", after.Blind, before.Blind, p.all())
	}
	if v := gauge(t, reg, "changeover_blind_seconds"); v < 540 || v > 600 {
		t.Errorf("changeover_blind_seconds is %v", v)
	}

	ahead.Store(int64(10*time.Minute + time.Second))
	g.await("told", told)
	restart()
	g.await("told before the restart", func(s reconciler.Status) bool { return told(s) && s.CheckedAt.After(after.CheckedAt) })
	if p.all() != "page Blind" {
		t.Errorf("told %q", p.all())
	}

	g.sampler.Set("late", 0)
	g.await("all known", func(s reconciler.Status) bool { return s.State == reconciler.StateSteady && !blind(s) })
	if p.all() != "page Blind, notice DataKnown" {
		t.Errorf("told %q", p.all())
	}
	if v := gauge(t, reg, "changeover_blind_seconds"); v != 0 {
		t.Errorf("changeover_blind_seconds is %v", v)
	}
	entries, err := g.r.History(t.Context(), shop, 10)
	i := slices.IndexFunc(entries, func(e reconciler.Entry) bool { return e.Reason == decide.Blind })
	if err != nil || i < 0 || !strings.Contains(entries[i].Message, "blind at gradual@10 for 10m: rollback gate late (") || len(entries[i].Evidence) != 1 {
		t.Errorf("the history is %+v, %v", entries, err)
	}
}

// gauge is the value of a metric of the shop.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
