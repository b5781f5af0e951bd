package bridge_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/bridge"
)

func TestApplyThatCannotBeginChangesNothing(t *testing.T) {
	f := newFixture(t, "follows")
	f.applied(at(10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.fails(f.Apply(ctx, planOf("so"), mark(at(25))), context.Canceled)
	if err := f.apply(at(11)); err == nil || !strings.Contains(err.Error(), "not on its itinerary") {
		t.Errorf("error %v for a stop off the itinerary", err)
	}
	f.isAt(at(10))
	gone, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "no", "bridge.json")), Replicas: bridge.URLs{f.replicas[0].URL}})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Apply(t.Context(), planOf("so"), mark(at(10))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that the folder does not exist", err)
	}
}

func TestNewRefusesWhatCouldObserveNothing(t *testing.T) {
	for _, o := range []bridge.Options{
		{Replicas: bridge.URLs{"http://127.0.0.1:1"}},
		{Store: bridge.File("x")},
		{Store: bridge.File("x"), Replicas: bridge.URLs{"127.0.0.1:8081"}},
		{Store: bridge.File("x"), Replicas: bridge.URLs{"http://127.0.0.1:1", ""}},
	} {
		if _, err := bridge.New(o); err == nil {
			t.Errorf("options %+v were taken", o)
		}
	}
}

func BenchmarkApplyOfNothingNew(b *testing.B) {
	file := filepath.Join(b.TempDir(), "bridge.json")
	g, err := bridge.New(bridge.Options{Store: bridge.File(file), Replicas: bridge.URLs{newReplica(b, file, "follows").URL}})
	if err != nil {
		b.Fatal(err)
	}
	p := planOf("so")
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Apply(b.Context(), p, mark(at(10))); err != nil {
			b.Fatal(err)
		}
	}
}
