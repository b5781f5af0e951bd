package plan_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func seed(f *testing.F, add func(src []byte)) {
	for _, file := range files(f, 100, "testdata/bad/*.yaml", "testdata/good/*.yaml", "../examples/*/*.yaml") {
		add(read(f, file))
	}
	add([]byte(base))
	add([]byte(": \n0")) // the error is behind the last line
	add([]byte(strings.ReplaceAll(base, "\n", "\r\n")))
}

// FuzzDecode: no input makes Decode panic; its problems are sorted and stand
// inside the file; and a plan without problems is one that its own JSON and its
// own position lead back to.
func FuzzDecode(f *testing.F) {
	seed(f, func(src []byte) { f.Add(src) })
	f.Fuzz(func(t *testing.T, src []byte) {
		plan.IsPlan(src)
		d, problems := plan.Decode("plan.yaml", src)
		lines := strings.Split(string(src), "\n")
		for _, p := range problems {
			if p.Line < 0 || p.Line > len(lines) || p.Line > 0 && (p.Column < 1 || p.Column > len(lines[p.Line-1])+1) {
				t.Fatalf("the problem is outside of the file: %s", p.Render())
			}
			if p.Code == "internal" {
				t.Fatal(p.Render())
			}
		}
		sorted := slices.Clone(problems)
		plan.Sort(sorted)
		if len(problems) <= 100 && !slices.Equal(sorted, problems) {
			t.Fatalf("problems are not sorted: %v", problems)
		}
		if len(problems) > 0 {
			return
		}
		if !plan.IsPlan(src) {
			t.Fatal("a plan is not taken for one")
		}
		if d.Plan.Itinerary().Index(d.Plan.Spec.Position) < 0 {
			t.Fatalf("%s is no stop", d.Plan.Spec.Position)
		}
		b, err := json.Marshal(d.Plan)
		if err != nil {
			t.Fatal(err)
		}
		again, problems := plan.Decode("plan.json", b)
		if len(problems) > 0 {
			t.Fatalf("its JSON has a problem: %s", problems[0].Render())
		}
		if plan.ContentDigest(again.Plan) != plan.ContentDigest(d.Plan) || !plan.Compare(d.Plan, again.Plan).IsZero() {
			t.Fatalf("its JSON is another plan: %s", b)
		}
	})
}

// FuzzSetPosition: the result declares the position, says all else as before,
// and every comment is still there.
func FuzzSetPosition(f *testing.F) {
	seed(f, func(src []byte) {
		f.Add(src, "gradual", 50.0)
		f.Add(src, "setup", 0.0)
		f.Add(src, "2024", 0.25)
	})
	f.Fuzz(func(t *testing.T, src []byte, phase string, percent float64) {
		to := plan.Position{Phase: phase, Percent: plan.Percent(percent)}
		out, err := plan.SetPosition(src, to)
		if err != nil {
			return
		}
		before, _ := plan.Decode("plan.yaml", src)
		after, _ := plan.Decode("plan.yaml", out)
		if after.Plan.Spec.Position != to {
			t.Fatalf("position %s, want %s", after.Plan.Spec.Position, to)
		}
		if plan.ContentDigest(before.Plan) != plan.ContentDigest(after.Plan) {
			t.Fatalf("more than the position changed:\n%s", out)
		}
		if bytes.Count(src, []byte("#")) != bytes.Count(out, []byte("#")) {
			t.Fatalf("a comment is gone:\n%s", out)
		}
		if again, err := plan.SetPosition(out, to); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second time: %v\n%s", err, again)
		}
	})
}
