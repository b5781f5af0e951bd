package flagd_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/flagd"
	evaluator "github.com/changeover-dev/changeover/test/flagd"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when everything is rendered.
var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// contexts are of all sorts of callers: with and without keys and attributes, and
// with attributes that are no texts.
func contexts(n int) []map[string]any {
	out := make([]map[string]any, n)
	for i := range out {
		c := map[string]any{}
		switch i % 7 {
		case 0:
			c["targetingKey"] = fmt.Sprint("tenant-", i)
		case 1:
			c["targetingKey"] = fmt.Sprintf("%08x-0000-4000-8000-%012d", i*2654435761, i)
		case 2:
			c["targetingKey"] = fmt.Sprintf("Größe %d/東京 \"%d\" <&>", i, i*7)
		case 3:
			c["targetingKey"] = fmt.Sprint(i)
		case 4:
			c["targetingKey"] = fmt.Sprintf(" blanks %d \t", i)
		case 5:
			c["targetingKey"] = []any{"", nil}[i%2]
		}
		if v := []any{"dev", "staging", "prod", "DEV", "", 5.0, true, nil, []any{"dev"}, map[string]any{"dev": 1.0}, "none"}[i%11]; v != "none" {
			c["namespace"] = v
		}
		if v := []any{map[string]any{"type": "deployment"}, map[string]any{"type": 0.0}, "deployment", map[string]any{}, nil, map[string]any{"type": "development"}}[i%6]; i%5 != 0 {
			c["intent"] = v
		}
		out[i] = c
	}
	return out
}

// asked is how many contexts the real evaluator is asked: 20,000 where all is to be
// shown.
func asked() int {
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		return 20_000
	}
	return 154
}

// wants is what a caller gets of a flag, told once more in the words of the design:
// nothing of the package is used for it.
func wants(p *plan.Plan, name string, c map[string]any) (variant string) {
	f := flagOf(p, name)
	key, _ := c["targetingKey"].(string)
	if everybody(p, name) || !onModern(p, name, key, c) {
		return "legacy"
	}
	if f.Variants == nil {
		return "modern"
	}
	at, end := plan.Bucket(p.Salt()+"/"+name, strings.TrimRight(key, " \t")), 0.0
	for _, v := range []string{"blue", "green", "red"} {
		if end += float64(f.Variants[v]) * 100; float64(at) < end {
			return v
		}
	}
	return "none"
}

func flagOf(p *plan.Plan, name string) *plan.Flag {
	for i := range p.Spec.Flags {
		if p.Spec.Flags[i].Name == name {
			return &p.Spec.Flags[i]
		}
	}
	panic("no flag " + name)
}

// everybody reports whether a flag has everybody on legacy.
func everybody(p *plan.Plan, name string) bool {
	f := flagOf(p, name)
	if f.KillSwitch || !f.ExpiresAt.IsZero() && !f.ExpiresAt.After(now) {
		return true
	}
	for _, need := range f.Prerequisites {
		if everybody(p, need) {
			return true
		}
	}
	for _, o := range p.Spec.Flags {
		if o.Name == name {
			break
		}
		if (has(f.ConflictsWith, o.Name) || has(o.ConflictsWith, name)) && !everybody(p, o.Name) {
			return true
		}
	}
	return f.Percent.Percent == 0 && len(f.Targeting) == 0
}

func has(all []string, one string) bool {
	return strings.Contains(","+strings.Join(all, ",")+",", ","+one+",")
}

// onModern reports whether a caller has a flag, which not everybody lacks.
func onModern(p *plan.Plan, name, key string, c map[string]any) bool {
	f := flagOf(p, name)
	for _, need := range f.Prerequisites {
		if !onModern(p, need, key, c) {
			return false
		}
	}
	if f.Variants != nil && key == "" {
		return false
	}
	if len(f.Targeting) > 0 {
		// The rules that every plan of these tests has.
		if c["namespace"] == "dev" || c["namespace"] == "staging" {
			return true
		}
		intent, _ := c["intent"].(map[string]any)
		if text, ok := intent["type"].(string); ok && strings.HasPrefix(text, "dep") {
			return false
		}
		if v := c["namespace"]; v != nil && v != "prod" && v != "DEV" && v != "" {
			return true
		}
	}
	switch {
	case f.Percent.Percent == 100:
		return true
	case f.Percent.Percent == 0:
		return false
	case key == "":
		return f.Default == plan.Modern
	}
	return plan.OnModern(plan.Bucket(p.Salt(), strings.TrimRight(key, " \t")), f.Percent.Percent)
}

var rules = []plan.FlagRule{
	{Attribute: "namespace", Operator: plan.FlagIn, Values: []string{"dev", "staging"}, To: plan.Modern},
	{Attribute: "intent.type", Operator: plan.FlagStartsWith, Values: []string{"dep"}, To: plan.Legacy},
	{Attribute: "namespace", Operator: plan.FlagNotIn, Values: []string{"prod", "DEV", ""}, To: plan.Modern},
}

// combinations are plans with every combination of prerequisite, conflict, kill
// switch, expiry, rules, variants and default; each is three flags.
func combinations() (plans []*plan.Plan) {
	share := func(p plan.Percent) *plan.Share { return &plan.Share{Percent: p} }
	p, n := newPlan(), 0
	for prerequisite := range 4 {
		for conflict := range 4 {
			for state := range 6 {
				for form := range 5 {
					name := fmt.Sprintf("c%d.", n)
					n++
					need := plan.Flag{Name: name + "need", Default: plan.Legacy, Percent: share([]plan.Percent{0, 100, 0, 60}[prerequisite])}
					rival := plan.Flag{Name: name + "rival", Default: plan.Modern, Percent: share(25), KillSwitch: conflict == 2}
					f := plan.Flag{Name: name + "flag", Default: plan.Legacy, Percent: share([]plan.Percent{33.33, 100, 0, 50, 10}[form]), KillSwitch: state%2 == 1}
					switch form {
					case 0:
						f.Default = plan.Modern
					case 2:
						f.Targeting = rules
					case 3:
						f.Targeting, f.Variants = rules, map[string]plan.Percent{"red": 20, "green": 30.05, "blue": 49.95}
					case 4:
						f.Variants = map[string]plan.Percent{"red": 0, "green": 100, "blue": 0}
					}
					if prerequisite > 0 {
						f.Prerequisites = []string{need.Name}
					}
					if prerequisite == 3 {
						need.Targeting = rules
					}
					switch state / 2 {
					case 1:
						f.ExpiresAt = plan.Timestamp{Time: now}
					case 2:
						f.ExpiresAt = plan.Timestamp{Time: now.Add(time.Second)}
					}
					switch conflict {
					case 1, 2:
						f.ConflictsWith = []string{rival.Name}
						p.Spec.Flags = append(p.Spec.Flags, need, rival, f)
					case 3: // the flag comes first, and wins
						rival.ConflictsWith = []string{f.Name}
						p.Spec.Flags = append(p.Spec.Flags, need, f, rival)
					default:
						p.Spec.Flags = append(p.Spec.Flags, need, rival, f)
					}
					if len(p.Spec.Flags) > 190 {
						plans, p = append(plans, p), newPlan()
					}
				}
			}
		}
	}
	return append(plans, p)
}

func newPlan() *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: "shop", Namespace: "default"},
		Spec:     plan.Spec{Identity: &plan.Identity{Header: "X-User", Cohort: "spring"}, Phases: []plan.Phase{{Name: "only"}}},
	}
}

// The definitions, evaluated by flagd itself, are what the plan says, and what the
// evaluator for OFREP says, for every combination.
func TestFlagdGivesWhatThePlanSays(t *testing.T) {
	judge, all := evaluator.Build(t), contexts(asked())
	combined, compared, others, modern := 0, 0, 0, 0
	for _, p := range combinations() {
		var names []string
		for _, f := range p.Spec.Flags {
			if strings.HasSuffix(f.Name, ".flag") {
				names = append(names, f.Name)
			}
		}
		combined += len(names)
		s, err := flagd.Compile(p, plan.Position{Phase: "only"}, now)
		if err != nil {
			t.Fatal(err)
		}
		for begin := 0; begin < len(all); begin += 1000 {
			some := all[begin:min(begin+1000, len(all))]
			for i, answers := range judge.Answers(t, s.Definitions(), names, some) {
				for j, a := range answers {
					name := names[j]
					own, _ := s.Evaluate(name, some[i])
					want := wants(p, name, some[i])
					if want != "legacy" {
						modern++
					}
					compared++
					if a.Variant != want || own.Variant != want || a.Value != own.Value || a.Reason != own.Reason || !sameMetadata(s, a, own) {
						if others++; others < 10 {
							t.Errorf("%s for %v: flagd says %+v, the evaluator %+v, the plan %q", name, some[i], a, own, want)
						}
					}
				}
			}
		}
	}
	t.Logf("%d combinations, %d contexts, %d answers compared: %d are not legacy, %d differ", combined, len(all), compared, modern, others)
	if combined != 4*4*6*5 || modern < compared/20 || others > 0 {
		t.Errorf("of %d answers %d are not legacy and %d differ", compared, modern, others)
	}
}

// sameMetadata compares the metadata of a flag; flagd adds that of the set.
func sameMetadata(s *flagd.Set, a evaluator.Answer, own flagd.Answer) bool {
	want := map[string]any{"flagSetId": s.Plan.String(), "stop": s.Stop.String(), "version": s.Hash}
	for k, v := range own.Metadata {
		want[k] = v
	}
	return reflect.DeepEqual(a.Metadata, want)
}

// Whoever has a flag keeps it while the percent rises, and keeps its variant.
func TestAFlagIsOnlyEverGained(t *testing.T) {
	p := newPlan()
	p.Spec.Flags = []plan.Flag{
		{Name: "a", Default: plan.Legacy, Percent: &plan.Share{}},
		{Name: "b", Default: plan.Legacy, Percent: &plan.Share{}, Variants: map[string]plan.Percent{"green": 50, "red": 50}},
	}
	was := map[string]string{}
	for percent := range 101 {
		for i := range p.Spec.Flags {
			p.Spec.Flags[i].Percent.Percent = plan.Percent(percent)
		}
		s, err := flagd.Compile(p, plan.Position{Phase: "only"}, now)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			for _, a := range s.EvaluateAll(map[string]any{"targetingKey": fmt.Sprint("caller-", i)}) {
				caller := fmt.Sprint(a.Flag, i)
				if old := was[caller]; old != "" && old != "legacy" && old != a.Variant {
					t.Fatalf("at %d %% caller %d of %s gets %s after %s", percent, i, a.Flag, a.Variant, old)
				}
				was[caller] = a.Variant
			}
		}
	}
	n := map[string]int{}
	for _, v := range was {
		n[v]++
	}
	if n["legacy"] != 0 || n["modern"] != 2000 || n["red"] < 900 || n["green"] < 900 {
		t.Errorf("at 100 %% the callers have %v", n)
	}
}

func decode(t *testing.T, file string) *plan.Plan {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode(file, src)
	if plan.HasErrors(problems) {
		t.Fatal(problems)
	}
	return doc.Plan
}

func TestTheDefinitionsOfAPlan(t *testing.T) {
	p := decode(t, "../../plan/testdata/good/flags.good.yaml")
	for _, stop := range p.Itinerary() {
		s, err := flagd.Compile(p, stop, now)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("testdata/%s.json", stop)
		if *update {
			if err := os.WriteFile(name, s.Definitions(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(s.Definitions())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		again, err := flagd.Compile(p, stop, now.Add(time.Hour))
		if err != nil || again.Hash != s.Hash {
			t.Errorf("an hour later the hash is another, though nothing changed (%v)", err)
		}
	}
}

func TestWhatCannotBeRenderedIsRefused(t *testing.T) {
	p := newPlan()
	if _, err := flagd.Compile(p, plan.Position{Phase: "other"}, now); err == nil || !strings.Contains(err.Error(), "not on its itinerary") {
		t.Errorf("a stop of no phase: %v", err)
	}
	long := make([]string, 200)
	for i := range long {
		long[i] = fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))
	}
	for i := range 6 {
		p.Spec.Flags = append(p.Spec.Flags, plan.Flag{Name: fmt.Sprint("f", i), Targeting: []plan.FlagRule{{Attribute: "a", Operator: plan.FlagIn, Values: long, To: plan.Modern}}})
	}
	if _, err := flagd.Compile(p, plan.Position{Phase: "only"}, now); err == nil || !strings.Contains(err.Error(), "use fewer flags") {
		t.Errorf("a megabyte of definitions: %v", err)
	}
}

// A plan without flags has definitions without flags, which take away what an
// earlier stop had.
func TestDefinitionsWithoutFlags(t *testing.T) {
	s, err := flagd.Compile(newPlan(), plan.Position{Phase: "only"}, now)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Flags map[string]any `json:"flags"`
	}
	if err := json.Unmarshal(s.Definitions(), &d); err != nil || d.Flags == nil || len(d.Flags) != 0 {
		t.Errorf("%s (%v)", s.Definitions(), err)
	}
	if _, ok := s.Evaluate("checkout", nil); ok {
		t.Error("a flag that there is not was evaluated")
	}
}
