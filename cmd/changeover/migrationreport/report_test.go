package migrationreport_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const shop = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: gradual, percent: 10}
  suspend: true
  backends: {legacy: {url: "http://127.0.0.1:8081"}, modern: {url: "http://127.0.0.1:8082"}}
  gateway: {bridge: {}}
  signals: {errors: {query: errors}}
  roles: {operations: {signers: [ann@example.com]}, security: {signers: [eve@example.com]}}
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - name: gradual
      percents: [10, 50]
      routes: [{to: split}]
      approvals: [{role: operations}, {role: security}]
      checklist: ["Dashboards | reviewed"]
      gates: {advance: [{name: few, expr: signal.errors < 0.01}]}
  success: [{name: few, expr: signal.errors < 0.01}, {name: none, expr: signal.errors == 0.0}]
`

func stop(s string) plan.Position {
	p, err := plan.ParsePosition(s)
	if err != nil {
		panic(err)
	}
	return p
}

func rev(c string) plan.Revision { return plan.Revision(strings.Repeat(c, 40)) }

// input has whatever a report can have, and text that would be markup.
func input(t *testing.T) migrationreport.Input {
	t.Helper()
	doc, problems := plan.Decode("shop.yaml", []byte(shop))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	const evil = "<script>alert(1)</script> | *bold* [link](http://x) `code`\nnext\x1b[31m"
	known := func(v float64) gates.Point { return gates.Point{Value: v} }
	begins := known(0.5)
	begins.Time = noon.Add(-24 * time.Hour)
	half := 0.5
	p50, errs := 0.012, 3.0
	return migrationreport.Input{
		Since: noon.Add(-24 * time.Hour), Now: noon,
		Head: plan.Version{Plan: doc.Plan, Revision: rev("e"), Path: "shop.yaml"},
		Changes: []decide.Change{
			{Commit: rev("a"), To: stop("setup"), Raise: true, Author: "ben@example.com", At: noon.Add(-72 * time.Hour), Subject: "Add shop"},
			{Commit: rev("b"), From: stop("setup"), To: stop("gradual@50"), Raise: true, Author: "ben@example.com", At: noon.Add(-20 * time.Hour), Subject: evil},
			{Commit: rev("c"), From: stop("gradual@50"), To: stop("setup"), Lower: true, RollbackOf: rev("b"), At: noon.Add(-19 * time.Hour), Subject: "Revert"},
			{Commit: rev("d"), From: stop("setup"), To: stop("setup"), Unhold: rev("b"), Resume: true, Author: "ann@example.com", At: noon.Add(-18 * time.Hour), Subject: "Unhold"},
			{Commit: rev("e"), From: stop("setup"), To: stop("gradual@10"), Raise: true, Content: true, Live: true, Author: "ann@example.com", At: noon.Add(-2 * time.Hour), Subject: "Advance"},
		},
		Approvals: []decide.Approval{
			{Commit: rev("1"), Author: "ann@example.com", At: noon.Add(-20 * time.Hour), Stop: stop("gradual@10"), Raise: rev("b"), Role: "operations"},
			{Commit: rev("2"), Author: "eve@example.com", At: noon.Add(-time.Hour), Stop: stop("gradual@10"), Raise: rev("e"), Role: "security"},
			{Commit: rev("3"), Author: "ann@example.com", At: noon.Add(-time.Hour), Stop: stop("gradual@10"), Raise: rev("e"), Role: "operations"},
			{Commit: rev("4"), Author: "eve@example.com", At: noon.Add(-time.Hour), Stop: stop("gradual@10"), Raise: rev("f"), Role: "security"},
			{Commit: rev("5"), Author: "eve@example.com", At: noon.Add(-time.Hour), Stop: stop("gradual@10"), Raise: rev("e"), Role: "security", Item: "Dashboards | reviewed"},
		},
		Causes: map[plan.Revision]migrationreport.Cause{rev("c"): {Gates: []string{"many"}, Evidence: []string{evil}}},
		Track: []migrationreport.Stay{
			{Stop: stop("setup"), From: noon.Add(-70 * time.Hour), To: noon.Add(-20 * time.Hour)},
			{Stop: stop("gradual@50"), From: noon.Add(-20 * time.Hour), To: noon.Add(-19 * time.Hour)},
			{Stop: stop("setup"), From: noon.Add(-19 * time.Hour), To: noon.Add(-10 * time.Hour)},
			{Stop: stop("setup"), From: noon.Add(-9 * time.Hour), To: noon},
		},
		Decision: &decide.Decision{Verb: decide.Hold, Reason: decide.ApprovalMissing, Message: "gradual@10 needs consent",
			Blocks: []decide.Block{{Reason: decide.ApprovalMissing, Message: "operations has not approved"}, {Reason: decide.Baking, Message: "bakes", Until: noon.Add(time.Hour)}}},
		Gates: gates.Results{
			{Key: gates.Key{Stop: stop("setup"), Effect: plan.Advance, Name: "few"}, Verdict: gates.NoData, Expr: "signal.errors < 0.01", Detail: "errors unknown: no series"},
			{Key: gates.Key{Stop: stop("setup"), Effect: plan.Breaches, Name: "many"}, Verdict: gates.Pass},
		},
		Lasted:  []migrationreport.Lasted{{Stop: stop("setup"), Effect: plan.Advance, Name: "few", Totals: map[gates.Verdict]plan.Duration{gates.Pass: plan.Duration(time.Hour), gates.Error: plan.Duration(time.Minute)}}},
		Success: gates.Results{{Key: gates.Key{Name: "few"}, Verdict: gates.Fail, Detail: "errors=0.5"}, {Key: gates.Key{Name: "none"}, Verdict: gates.NoData}},
		Signals: []migrationreport.Readings{
			{Name: "errors", Side: plan.Modern, Points: []gates.Point{begins, {Time: begins.Time.Add(time.Minute), Unknown: "no series"}, known(0.1), {Unknown: "NaN"}}, Before: []gates.Point{known(1), known(3)}},
			{Name: "never"},
		},
		Sides:  &migrationreport.Sides{From: "the bridges", Legacy: migrationreport.Served{Requests: 999999, Errors: &errs, P50: &p50}, Modern: migrationreport.Served{Requests: 1}},
		Counts: []migrationreport.Count{{Name: `changeover_entities{is="modern"}`, Value: 4, Grew: &half}},
		Notes:  []string{"Nothing is certain."},
	}
}

// TestReportsAreWrittenAsTheyWere in all formats.
func TestReportsAreWrittenAsTheyWere(t *testing.T) {
	for name, final := range map[string]bool{"daily": false, "final": true} {
		in := input(t)
		in.Final = final
		r := migrationreport.Build(in)
		var md, page, text bytes.Buffer
		for _, err := range []error{r.Markdown(&md), r.HTML(&page), r.JSON(&text)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for file, got := range map[string]string{name + ".md": md.String(), name + ".html": page.String(), name + ".json": text.String()} {
			file = "testdata/" + file
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (-want +got, write anew with -args -update):\n%s", file, d)
			}
		}
		if strings.Contains(md.String(), "<script>") || strings.Contains(page.String(), "<script>") || strings.Contains(md.String(), "\x1b") {
			t.Errorf("%s: what people wrote is markup", name)
		}
		var back migrationreport.Report
		if err := json.Unmarshal(text.Bytes(), &back); err != nil || !cmp.Equal(back, r) {
			t.Errorf("%s: read again it is another (%v):\n%s", name, err, cmp.Diff(back, r))
		}
	}
}

// TestWhatIsNotKnownIsSaid: with Git alone, no number and no word is made up.
func TestWhatIsNotKnownIsSaid(t *testing.T) {
	in := input(t)
	in.Final = true
	in.Track, in.Sides, in.NoSides, in.Signals, in.Success, in.Counts = nil, nil, "Nobody counts.", nil, nil, nil
	in.Head.Plan.Spec.Position = stop("gradual@50")
	r := migrationreport.Build(in)
	if !r.Effective.Assumed || len(r.Open) == 0 || r.Open[0] != "That the plan reached its last stop is not known: no metric of a daemon tells." {
		t.Errorf("got %+v, open %q", r.Effective, r.Open)
	}
	var md bytes.Buffer
	if err := r.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no metric of a daemon tells", "Nobody counts", "names no criteria"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("%q is not in\n%s", want, md.String())
		}
	}
}

// TestAStopIsLeftWhenTheTrackSaysSo, and without one when Git does.
func TestAStopIsLeftWhenTheTrackSaysSo(t *testing.T) {
	in := input(t)
	it := in.Head.Plan.Itinerary()
	for _, c := range []struct {
		name  string
		track []migrationreport.Stay
		stop  string
		want  time.Duration
		ok    bool
	}{
		{"by the track", in.Track, "setup", -20 * time.Hour, true},
		{"backward is not forward, and Git raised past it", in.Track, "gradual@10", -20 * time.Hour, true},
		{"by Git, the newest raise", nil, "setup", -2 * time.Hour, true},
		{"never", in.Track, "gradual@50", 0, false},
	} {
		at, ok := migrationreport.LeftForward(it, c.track, in.Changes, stop(c.stop))
		if ok != c.ok || ok && !at.Equal(noon.Add(c.want)) {
			t.Errorf("%s: got %v %v, want %v before noon, %v", c.name, at, ok, c.want, c.ok)
		}
	}
}
