package fakes_test

import (
	"errors"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/fakes"
)

func TestRecorderConforms(t *testing.T) {
	conformance.Recorder(t, func(*testing.T) reconciler.Recorder { return &fakes.Recorder{} })
}

func TestRecorderFailsWhenTold(t *testing.T) {
	full := errors.New("disk is full")
	var r fakes.Recorder
	r.FailWith(func(method string) error {
		if method == "Save" {
			return full
		}
		return nil
	})
	if err := r.Save(t.Context(), plan.Key{}, decide.Record{}); !errors.Is(err, full) {
		t.Errorf("Save: got %v, want %v", err, full)
	}
	if _, ok, err := r.Load(t.Context(), plan.Key{}); ok || err != nil {
		t.Errorf("Load after a Save that failed: got %v, %v, want nothing", ok, err)
	}
}
