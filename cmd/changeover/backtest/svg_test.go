package backtest_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// checkChart reads the chart as XML: each gate has one bar from one end of the
// axis to the other, and its breaches are in it.
func checkChart(t *testing.T, r *backtest.Report) {
	t.Helper()
	bars := readChart(t, backtest.SVG(r))
	if len(bars) != len(r.Gates) {
		t.Fatalf("the chart has %d bars, want %d", len(bars), len(r.Gates))
	}
	for i, bar := range bars {
		g := &r.Gates[i]
		if !strings.HasPrefix(bar.title, string(g.Effect)+" "+g.Name+" at ") {
			t.Errorf("bar %d is of %q, want %s", i, bar.title, g.Name)
		}
		breaches := false
		for _, in := range g.Intervals {
			breaches = breaches || g.Breach(in.Verdict)
		}
		if bar.bad > 0 != breaches {
			t.Errorf("%s breaches: %t, but its bar has %d breaches", g.Name, breaches, bar.bad)
		}
		if bar.width != 720 {
			t.Errorf("the bar of %s is %d wide", g.Name, bar.width)
		}
	}
}

type bar struct {
	title      string
	bad, width int
}

func readChart(t *testing.T, chart []byte) (bars []bar) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(chart))
	var in *bar
	for next := 0; ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return bars
		}
		if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			switch {
			case e.Name.Local == "g":
				bars = append(bars, bar{})
				in, next = &bars[len(bars)-1], 0
			case e.Name.Local == "rect" && in != nil:
				var x, width int
				for _, a := range e.Attr {
					switch a.Name.Local {
					case "x":
						_, _ = fmt.Sscan(a.Value, &x)
					case "width":
						_, _ = fmt.Sscan(a.Value, &width)
					case "class":
						if a.Value == "bad" {
							in.bad++
						}
					}
				}
				if next != 0 && x != next {
					t.Errorf("a piece begins at %d, the one before ends at %d", x, next)
				}
				next, in.width = x+width, in.width+width
			}
		case xml.EndElement:
			if e.Name.Local == "g" {
				in = nil
			}
		case xml.CharData:
			if in != nil && in.title == "" {
				in.title = string(e)
			}
		}
	}
}

// TestChartOfManyChanges: a chart does not grow with the changes, and a breach
// of one minute is seen in a year.
func TestChartOfManyChanges(t *testing.T) {
	from := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	r := &backtest.Report{Plan: plan.Key{Namespace: "default", Name: "a<b&\"c\x01"}, From: from, To: from.Add(365 * 24 * time.Hour), Step: plan.Duration(time.Minute)}
	flaps := backtest.Gate{Effect: plan.Breaches, Name: "flaps", Expr: "signal.a < 1 && signal.b > 2", Stops: []plan.Position{{Phase: "only"}}}
	for i := range 5000 {
		at := from.Add(time.Duration(i) * 105 * time.Minute)
		verdict := gates.Fail
		if i == 2500 {
			verdict = gates.Pass
		} else if i%2 == 1 {
			verdict = gates.NoData
		}
		flaps.Intervals = append(flaps.Intervals, backtest.Interval{From: at, To: at.Add(105 * time.Minute), Verdict: verdict, Detail: "b > 2 & <c>"})
	}
	flaps.Intervals[len(flaps.Intervals)-1].To = r.To
	r.Gates = []backtest.Gate{flaps}
	checkChart(t, r)
	if n := len(backtest.SVG(r)); n > 300_000 {
		t.Errorf("the chart has %d bytes", n)
	}
	checkChart(t, &backtest.Report{From: from, To: from.Add(time.Minute)})
}
