package shadow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func recorder(t testing.TB, c plan.Comparison) *Recorder {
	t.Helper()
	r, err := New(bridge.Mirror{Percent: 100, Compare: &c}, 1, []byte("key"), start)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func json(body string) compare.Answer {
	return compare.Answer{Status: 200, Body: []byte(body), Header: map[string][]string{"Content-Type": {"application/json"}}}
}

// run judges a job as the queue does. It reports whether legacy was asked twice.
func (r *Recorder) run(j *Job, now time.Time) bool {
	if !r.Judge(j, now) {
		return false
	}
	a := j.Again(context.Background())
	j.second = &a
	r.JudgeBaseline(j, now)
	return true
}

func reportOf(r *Recorder) bridge.Shadow {
	var out bridge.Shadow
	r.Report(0, start, &out)
	return out
}

func sum(r *Recorder) (out bridge.ShadowCounts) {
	for _, e := range reportOf(r).Endpoints {
		out.Add(e.ShadowCounts)
	}
	return out
}

// TestNoiseIsNoMismatch: both sides give every answer a new id, the time in
// milliseconds and in seconds, and one list in a random order: 100,000 requests to
// three endpoints, and never one mismatch.
func TestNoiseIsNoMismatch(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	clock := start
	answer := func() compare.Answer {
		clock = clock.Add(time.Duration(random.IntN(int(40 * time.Millisecond))))
		l := []string{`"a"`, `"b"`, `"c"`}
		random.Shuffle(3, func(i, j int) { l[i], l[j] = l[j], l[i] })
		return json(fmt.Sprintf(`{"requestId":"%016x","name":"x","at":%d,"meta":{"servedAt":%q,"tags":[%s,%s,%s]}}`,
			random.Uint64(), clock.UnixMilli(), clock.Format(time.RFC3339), l[0], l[1], l[2]))
	}
	r := recorder(t, plan.Comparison{Baseline: new(plan.Percent(5))})
	again := 0
	n := 10_000
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		n = 100_000
	}
	for i := range n {
		j := &Job{Recorder: r, Method: "GET", Path: fmt.Sprintf("/%s/%d", []string{"orders", "users", "things"}[random.IntN(3)], i), Legacy: answer(), Modern: answer()}
		j.Again = func(context.Context) compare.Answer { return answer() }
		if r.run(j, clock) {
			again++
		}
		if i%500 == 0 || i == n-1 {
			if total := r.Total(); total.Mismatched != 0 {
				t.Fatalf("after %d requests the metric tells %d mismatches", i+1, total.Mismatched)
			}
			if s := sum(r); s.Mismatched != 0 {
				t.Fatalf("after %d requests: %+v", i+1, s)
			}
		}
	}
	got := sum(r)
	t.Logf("%d requests, %d to legacy again: %+v", n, again, got)
	if got.Mismatched != 0 || got.Pending != 0 || got.Matched+got.Ignored != int64(n) || got.Noise != got.Ignored || got.Eligible != int64(n) {
		t.Errorf("got %+v", got)
	}
	if again > n*5/100 {
		t.Errorf("legacy was asked %d times more, want at most 5 %%", again)
	}
	if es := reportOf(r).Endpoints; len(es) != 3 || len(es[0].Fields) != 4 || !es[0].Fields[0].Noise {
		t.Errorf("got %+v", es)
	}
}

// TestRealDifferencesShowThroughNoise: one that is always there, one in a hundred
// answers, and one at a place where legacy is noisy now and then.
func TestRealDifferencesShowThroughNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	body := func(status, price string, often int) compare.Answer {
		flicker := `"calm"`
		if random.IntN(1000) < often {
			flicker = fmt.Sprint(random.Uint64())
		}
		return json(fmt.Sprintf(`{"id":"%x","status":%q,"price":%s,"flicker":%s}`, random.Uint64(), status, price, flicker))
	}
	for name, c := range map[string]struct {
		modern func() compare.Answer
		path   string
		least  int64
	}{
		"always":                      {func() compare.Answer { return body("B", "1", 0) }, "$.status", 19_000},
		"one in a hundred":            {func() compare.Answer { return body("A", []string{"1", "2"}[min(random.IntN(100), 1)^1], 0) }, "$.price", 100},
		"where legacy flickers":       {func() compare.Answer { return body("A", "1", 1000) }, "$.flicker", 19_000},
		"nothing but what legacy has": {func() compare.Answer { return body("A", "1", 30) }, "", 0},
	} {
		r := recorder(t, plan.Comparison{Baseline: new(plan.Percent(10))})
		for range 20_000 {
			j := &Job{Recorder: r, Method: "GET", Path: "/orders/1", Legacy: body("A", "1", 30), Modern: c.modern()}
			j.Again = func(context.Context) compare.Answer { return body("A", "1", 30) }
			r.run(j, start)
		}
		got := sum(r)
		e := reportOf(r).Endpoints[0]
		t.Logf("%s: %+v", name, got)
		if got.Mismatched < c.least || c.least == 0 && got.Mismatched != 0 || got.Pending > 50 {
			t.Errorf("%s: %+v", name, got)
		}
		for _, f := range e.Fields {
			if planted := f.Path == c.path; f.Noise == planted && f.Differed > 0 {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// TestDifferencesWaitForTheBaseline: they are pending, then all count.
func TestDifferencesWaitForTheBaseline(t *testing.T) {
	r := recorder(t, plan.Comparison{Baseline: new(plan.Percent(10))})
	ask := func() {
		j := &Job{Recorder: r, Method: "GET", Path: "/a", Legacy: json(`{"a":1}`), Modern: json(`{"a":2}`)}
		j.Again = func(context.Context) compare.Answer { return json(`{"a":1}`) }
		r.run(j, start)
	}
	for range 150 {
		ask()
	}
	if got := sum(r); got.Pending != 150 || got.Mismatched != 0 || got.Compared() != 0 {
		t.Errorf("early: %+v", got)
	}
	if f := reportOf(r).Endpoints[0].Fields[0]; !f.Pending || f.Noise {
		t.Errorf("early: %+v", f)
	}
	for range 150 {
		ask()
	}
	if got := sum(r); got.Pending != 0 || got.Mismatched != 300 {
		t.Errorf("later: %+v", got)
	}
	// Without a baseline they count at once, and legacy is asked once.
	r = recorder(t, plan.Comparison{})
	j := &Job{Recorder: r, Method: "GET", Path: "/a", Legacy: json(`1`), Modern: json(`2`)}
	j.Again = func(context.Context) compare.Answer { t.Error("legacy is asked again"); return json(`1`) }
	if r.run(j, start); sum(r).Mismatched != 1 {
		t.Errorf("without a baseline: %+v", sum(r))
	}
}

// TestWhatTurnsOutToBeNoiseIsTakenBack: and the metric does not fall.
func TestWhatTurnsOutToBeNoiseIsTakenBack(t *testing.T) {
	r := recorder(t, plan.Comparison{Baseline: new(plan.Percent(100))})
	second := `{"a":1}`
	ask := func(n int) {
		for range n {
			j := &Job{Recorder: r, Method: "GET", Path: "/a", Legacy: json(`{"a":1}`), Modern: json(`{"a":2}`)}
			j.Again = func(context.Context) compare.Answer { return json(second) }
			r.run(j, start)
		}
	}
	ask(30)
	if r.Total().Mismatched != 30 {
		t.Fatalf("got %+v", r.Total())
	}
	second = `{"a":3}`
	ask(30)
	if got := sum(r); got.Mismatched != 0 || got.Noise != 60 {
		t.Errorf("got %+v", got)
	}
	if got := r.Total(); got.Mismatched != 30 || got.Ignored != 60 {
		t.Errorf("the metric tells %+v", got)
	}
}
