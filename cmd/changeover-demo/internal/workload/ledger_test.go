package workload

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }

func TestOnlyTheBrokenModernsOwn500IsNoFailure(t *testing.T) {
	for _, c := range []struct {
		name           string
		a              Answer
		faults, failed int
	}{
		{"read", Answer{Side: plan.Legacy, Code: 200}, 0, 0},
		{"written", Answer{Side: plan.Modern, Code: 201}, 0, 0},
		{"modern broken", Answer{Side: plan.Modern, Code: 500}, 1, 0},
		{"legacy broken", Answer{Side: plan.Legacy, Code: 500}, 0, 1},
		{"gateway cannot reach modern", Answer{Side: plan.Modern, Code: 502}, 0, 1},
		{"gateway has no side", Answer{Code: 500}, 0, 1},
		{"good answer without a side", Answer{Code: 200}, 0, 1},
		{"not found", Answer{Side: plan.Legacy, Code: 404}, 0, 1},
		{"reset", Answer{Err: errors.New("connection reset")}, 0, 1},
	} {
		l := NewLedger(1)
		l.Add(c.a)
		got := l.Totals()
		if got.Requests != 1 || got.Faults != c.faults || got.Failed != c.failed || len(got.Failures) != c.failed {
			t.Errorf("%s: %+v, want %d faults and %d failed", c.name, got, c.faults, c.failed)
		}
	}
}

func TestARoundNeedsAnAnswerOfEveryCaller(t *testing.T) {
	l := NewLedger(3)
	l.Add(Answer{Caller: 0, Begun: at(10), Side: plan.Modern, Code: 200})
	l.Add(Answer{Caller: 1, Begun: at(9), Side: plan.Modern, Code: 200})
	l.Add(Answer{Caller: 2, Begun: at(11), Side: plan.Legacy, Code: 200})
	if s, ok := l.Since(at(10)); ok {
		t.Errorf("caller 1 did not answer since, but the split is %v", s)
	}
	l.Add(Answer{Caller: 1, Begun: at(12), Side: plan.Legacy, Code: 200})
	s, ok := l.Since(at(10))
	if !ok || !slices.Equal(s.Modern, []int{0}) {
		t.Errorf("split is %v, %v, want caller 0 on modern", s, ok)
	}
	if got := s.Share(); got < 33.3 || got > 33.4 {
		t.Errorf("share is %v", got)
	}
}

func TestCallersThatReturnAreCountedOnce(t *testing.T) {
	l := NewLedger(2)
	for i, side := range []plan.Side{plan.Legacy, plan.Modern, plan.Legacy, plan.Modern, plan.Legacy} {
		l.Add(Answer{Caller: 0, Begun: at(i), Side: side, Code: 200})
	}
	l.Add(Answer{Caller: 1, Begun: at(1), Side: plan.Legacy, Code: 200})
	l.Add(Answer{Caller: 1, Begun: at(2), Side: plan.Modern, Code: 200})
	if got := l.Totals().Returned; got != 1 {
		t.Errorf("%d returned, want 1", got)
	}
}

func TestALateAnswerDoesNotCountAsAReturn(t *testing.T) {
	l := NewLedger(1)
	l.Add(Answer{Begun: at(2), Side: plan.Modern, Code: 200})
	l.Add(Answer{Begun: at(1), Side: plan.Legacy, Code: 200}) // begun before the switch, answered after
	if got := l.Totals(); got.Returned != 0 || got.Requests != 2 {
		t.Errorf("totals are %+v", got)
	}
	if s, ok := l.Since(at(2)); !ok || len(s.Modern) != 1 {
		t.Errorf("split is %v, %v", s, ok)
	}
}

func TestAFailureDoesNotMoveACaller(t *testing.T) {
	l := NewLedger(1)
	l.Add(Answer{Begun: at(1), Side: plan.Modern, Code: 200})
	l.Add(Answer{Begun: at(2), Err: errors.New("timeout")})
	if s, ok := l.Since(at(2)); !ok || len(s.Modern) != 1 {
		t.Errorf("split is %v, %v", s, ok)
	}
	if got := l.Totals(); got.Failed != 1 || !strings.Contains(got.Failures[0], "timeout") || !strings.Contains(got.Failures[0], Name(0)) {
		t.Errorf("totals are %+v", got)
	}
}

func TestLastModernIsOfTheNamedCallersAlone(t *testing.T) {
	l := NewLedger(3)
	l.Add(Answer{Caller: 0, Begun: at(1), Side: plan.Modern, Code: 200})
	l.Add(Answer{Caller: 1, Begun: at(2), Side: plan.Modern, Code: 500})
	l.Add(Answer{Caller: 1, Begun: at(3), Side: plan.Legacy, Code: 200})
	l.Add(Answer{Caller: 2, Begun: at(4), Side: plan.Modern, Code: 200})
	if got := l.LastModern([]int{0, 1}); !got.Equal(at(2)) {
		t.Errorf("last is %v, want %v", got, at(2))
	}
	if got := l.LastModern(nil); !got.IsZero() {
		t.Errorf("last of none is %v", got)
	}
}

func TestWithoutListsWhoIsMissing(t *testing.T) {
	a, b := Split{Callers: 9, Modern: []int{1, 4, 7}}, Split{Callers: 9, Modern: []int{1, 2, 7, 8}}
	if got := a.Without(b); !slices.Equal(got, []int{4}) {
		t.Errorf("missing %v, want 4", got)
	}
	if got := a.Without(a); got != nil {
		t.Errorf("missing %v, want none", got)
	}
}
