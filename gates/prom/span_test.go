package prom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/test/counts"
	"github.com/changeover-dev/changeover/test/promtest"
)

// sampled is a sample whose error is its text.
type sampled struct {
	gates.Sample
	Err string
}

func comparison(all map[gates.Need]gates.Sample) map[gates.Need]sampled {
	out := map[gates.Need]sampled{}
	for n, s := range all {
		c := sampled{Sample: s}
		if s.Err != nil {
			c.Err, c.Sample.Err = s.Err.Error(), nil
		}
		out[n] = c
	}
	return out
}

// oddHistory has all that a query can be answered with over an hour.
func oddHistory() string {
	between := func(from, to time.Duration, f func(ago time.Duration) float64) func(time.Duration) float64 {
		return func(ago time.Duration) float64 {
			if ago > from || ago < to {
				return math.NaN()
			}
			return f(ago)
		}
	}
	const min = time.Minute
	return history(map[string]func(time.Duration) float64{
		`gauge`: func(ago time.Duration) float64 {
			if ago > 10*min && ago <= 20*min {
				return math.NaN()
			}
			return math.Sin(ago.Minutes())
		},
		`total`:             func(ago time.Duration) float64 { return 7200 - ago.Seconds() },
		`pod{name="first"}`: between(time.Hour, 30*min, always(1)),
		`pod{name="next"}`:  between(20*min, 0, always(2)),
		`both{name="a"}`:    between(time.Hour, 33*min, always(1)),
		`both{name="b"}`:    between(35*min, 0, always(2)),
		`both{name="c"}`:    between(50*min, 48*min, always(3)),
		`count`:             func(ago time.Duration) float64 { return 400 - 10*ago.Minutes() },
		`zero`:              always(0),
		`one`:               between(25*min, 15*min, always(1)),
	})
}

var oddWindows = []struct{ window, step time.Duration }{
	{7 * time.Minute, 2 * time.Minute}, {10 * time.Second, 500 * time.Millisecond}, {4 * time.Minute, 43200 * time.Millisecond}, {time.Minute, 2 * time.Minute},
}

// oddNeeds ask all kinds of things, with windows whose steps fit that of the
// span and windows whose steps do not.
func oddNeeds() []gates.Need {
	const min = time.Minute
	var needs []gates.Need
	for _, n := range []gates.Need{
		{Query: "gauge", MaxAge: 2 * min},
		{Query: "sum(rate(total[2m]))", MaxAge: 90 * time.Second, SamplesQuery: "count", SamplesMin: 123},
		{Query: "pod", MaxAge: 5 * min},
		{Query: "both", MaxAge: 5 * min},
		{Query: "zero / zero", MaxAge: min},
		{Query: "gauge / zero", MaxAge: 10 * min, SamplesQuery: "both", SamplesMin: 2},
		{Query: "gauge", MaxAge: min, Freshness: "both"},
		{Query: "gauge", MaxAge: min, Freshness: "time() - timestamp(count) + 40"},
		{Query: "nothing", MaxAge: min},
		{Query: "sum(rate(total[2m])) + sum(rate(gauge[5m]))", MaxAge: 4 * min},
		{Query: "sum(last_over_time(one[20m])) + sum(last_over_time(pod[30m]))", MaxAge: 3 * min},
		{Query: "scalar(gauge)", MaxAge: 3 * min},
		{Query: `gauge * on() group_left() {__name__=~"one|zero"}`, MaxAge: 5 * min},
		{Query: "sum(", MaxAge: min},
	} {
		windows := []struct{ window, step time.Duration }{{0, 0}, {5 * min, 15 * time.Second}}
		if n.Query == "both" || strings.Contains(n.Query, "group_left") {
			windows = append(windows, oddWindows...)
		}
		for _, w := range windows {
			n.Window, n.Step = w.window, w.step
			needs = append(needs, n)
		}
	}
	return needs
}

// TestSpanIsWhatSampleGives compares every point of a span with what is asked
// at that time alone.
func TestSpanIsWhatSampleGives(t *testing.T) {
	server := promtest.Start(t, "{}", oddHistory())
	c := newClient(t, prom.Options{URL: server.URL})
	needs := oddNeeds()
	for _, tc := range []struct {
		from, to time.Time
		step     time.Duration
	}{
		{past.Add(-64*time.Minute + 300*time.Millisecond), past.Add(8 * time.Minute), counts.Of(2*time.Minute, 8*time.Minute)},
		{past.Add(-16 * time.Minute), past.Add(-15*time.Minute - 36*time.Second), counts.Of(7*time.Second, 11*time.Second)},
		{past, past, time.Hour},
	} {
		t.Run(tc.step.String(), func(t *testing.T) {
			span, err := c.Span(t.Context(), needs, tc.from, tc.to, tc.step)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			steps := 0
			for at := tc.from; !at.After(tc.to); at = at.Add(tc.step) {
				steps++
				want := comparison(c.Sample(t.Context(), needs, at))
				if diff := cmp.Diff(want, comparison(span.At(at))); diff != "" {
					t.Fatalf("at %s (-sampled +span):\n%s", at, diff)
				}
				for _, s := range want {
					seen[s.Err+s.Last.Unknown]++
				}
			}
			for what, n := range seen {
				t.Logf("%6d %q", n, what)
			}
			if span.At(tc.from.Add(-tc.step)) != nil || span.At(tc.from.Add(time.Duration(steps)*tc.step)) != nil || span.At(tc.from.Add(time.Second)) != nil {
				t.Error("there are samples at times that are no steps")
			}
		})
	}
}

func TestSpanAsksFewQueries(t *testing.T) {
	server := promtest.Start(t, "{}", oddHistory())
	var asked atomic.Int64
	count := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		return http.DefaultTransport.RoundTrip(r)
	})
	c := newClient(t, prom.Options{URL: server.URL, HTTP: &http.Client{Transport: count}})
	plain := gates.Need{Query: "gauge", MaxAge: time.Minute}
	window := plain
	window.Window, window.Step = 10*time.Minute, 15*time.Second
	const day = 24 * time.Hour
	if _, err := c.Span(t.Context(), []gates.Need{plain, window}, past.Add(-7*day), past, time.Minute); err != nil {
		t.Fatal(err)
	}
	// The value in parts of 11,000 points: 7 days of 15 s each; and its age in
	// parts of 500, with and without a sample in sight.
	if n := asked.Load(); n != 4+2*81 {
		t.Errorf("asked %d queries, want 166", n)
	}
}

func TestSpanOfAPrometheusThatFails(t *testing.T) {
	step, end := time.Minute, past.Add(200*time.Minute)
	span := func(answer http.HandlerFunc) (*prom.Span, int64, error) {
		f := serve(t, answer)
		c := newClient(t, prom.Options{URL: f.URL, Timeout: 300 * time.Millisecond})
		s, err := c.Span(t.Context(), []gates.Need{always42}, past, end, step)
		return s, f.asked.Load(), err
	}
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		err    string
	}{
		{"oops", text(500, "oops"), "sample a time range: query Prometheus: it answered 500 Internal Server Error"},
		{"slow", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "sample a time range: query Prometheus: no answer within 300ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, n, err := span(tc.answer); err == nil || err.Error() != tc.err || n != 1 {
				t.Errorf("error %v after %d queries, want %q after one", err, n, tc.err)
			}
		})
	}

	// What is refused once is refused at every time.
	s, n, err := span(text(400, `{"status":"error","errorType":"bad_data","error":"no such function"}`))
	if err != nil || n != 1 {
		t.Fatalf("error %v after %d queries", err, n)
	}
	for _, at := range []time.Time{past, end} {
		if got := s.At(at)[always42].Err; got == nil || got.Error() != "query Prometheus: it answered 400: bad_data: no such function" {
			t.Errorf("at %s: error %v", at, got)
		}
	}
}

// grumpy fails wherever a query meets one minute.
type grumpy struct{ at time.Time }

func (g grumpy) Query(context.Context, string, time.Time) (model.Value, error) {
	return nil, errors.New("not used")
}

func (g grumpy) QueryRange(_ context.Context, _ string, start, end time.Time, step time.Duration) (model.Value, error) {
	if !start.After(g.at) && !end.Before(g.at) {
		return nil, prom.Evaluation(errors.New("too bad"))
	}
	m := model.Matrix{{}}
	for at := start; !at.After(end); at = at.Add(step) {
		m[0].Values = append(m[0].Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(at.UnixNano()), Value: 42})
	}
	return m, nil
}

func TestSpanFindsTheTimeThatFails(t *testing.T) {
	bad := past.Add(33 * time.Minute)
	c := newClient(t, prom.Options{Querier: grumpy{bad}})
	window := always42
	window.Window, window.Step = 3*time.Minute, time.Minute
	s, err := c.Span(t.Context(), []gates.Need{always42, window}, past, past.Add(time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var plain, wide []string
	for i := range 61 {
		at := past.Add(time.Duration(i) * time.Minute)
		got := s.At(at)
		for list, n := range map[*[]string]gates.Need{&plain: always42, &wide: window} {
			if err := got[n].Err; err != nil {
				*list = append(*list, fmt.Sprint(i, " ", err))
			} else if got[n].Last.Value != 42 {
				t.Errorf("minute %d: %+v", i, got[n])
			}
		}
	}
	const msg = " query Prometheus: too bad"
	if got, want := strings.Join(plain, ","), "33"+msg; got != want {
		t.Errorf("failed at %s, want %s", got, want)
	}
	if got, want := strings.Join(wide, ","), "33"+msg+",34"+msg+",35"+msg; got != want {
		t.Errorf("the window failed at %s, want %s", got, want)
	}
}

func TestSpanRefuses(t *testing.T) {
	c := newClient(t, prom.Options{Querier: grumpy{}})
	odd := always42
	odd.Window, odd.Step = time.Hour, 61*time.Second+time.Millisecond
	for _, tc := range []struct {
		need     gates.Need
		from, to time.Time
		step     time.Duration
		err      string
	}{
		{always42, past, past.Add(time.Hour), 0, "sample a time range: the step 0s is not a multiple of 1s"},
		{always42, past, past.Add(time.Hour), 1500 * time.Millisecond, "sample a time range: the step 1.5s is not a multiple of 1s"},
		{always42, past, past.Add(-time.Hour), time.Minute, "sample a time range: it ends at 2024-03-01T11:00:00Z, before it begins at 2024-03-01T12:00:00Z"},
		{odd, past, past.Add(24 * time.Hour), time.Minute, "sample a time range: the steps of windows and of the range fit each other only every 1ms, which is 89999060 points"},
	} {
		if _, err := c.Span(t.Context(), []gates.Need{tc.need}, tc.from, tc.to, tc.step); err == nil || !strings.HasPrefix(err.Error(), tc.err) {
			t.Errorf("error %v, want %s", err, tc.err)
		}
	}
}
