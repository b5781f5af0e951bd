package reconciler_test

import (
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

func TestAFlagSaysWhoHasIt(t *testing.T) {
	for want, f := range map[string]reconciler.FlagStatus{
		"25 % of the callers on modern, but for whom its rules decide":      {Percent: 25},
		"everybody on legacy: its kill switch is set":                       {Off: plan.FlagKilled},
		"everybody on legacy: it has expired":                               {Off: plan.FlagExpired},
		`everybody on legacy: nobody has "base", which it needs`:            {Off: plan.FlagPrerequisite, By: "base"},
		`everybody on legacy: "first" comes first, with which it conflicts`: {Off: plan.FlagConflict, By: "first"},
		"everybody on legacy: it is at 0 % and no rule leads to modern":     {Off: plan.FlagZero},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v says %q, want %q", f, got, want)
		}
	}
}
