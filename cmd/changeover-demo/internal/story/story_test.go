package story

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-demo/internal/admin"
	"github.com/changeover-dev/changeover/plan"
)

func TestThePlanIsValidAndSaysWhatTheStoryExpects(t *testing.T) {
	doc, problems := plan.Decode(planPath, planFor("127.0.0.1:1", "127.0.0.1:2"))
	for _, p := range problems {
		t.Error(p.Render())
	}
	p := doc.Plan
	if p.Key() != planKey || p.Spec.Identity.Header != header {
		t.Errorf("plan %s, identity %+v", p.Key(), p.Spec.Identity)
	}
	if p.Spec.Backends.Legacy.URL != "http://127.0.0.1:1" || p.Spec.Backends.Modern.URL != "http://127.0.0.1:2" {
		t.Errorf("backends are %+v", p.Spec.Backends)
	}
	if it := p.Itinerary(); !slices.Equal(it, plan.Itinerary{{Phase: "setup"}, gradual(10), gradual(25), gradual(50), gradual(75), gradual(100), {Phase: "sunset"}}) {
		t.Errorf("itinerary is %v", it)
	}
	alarms := p.Phase("gradual").Gates.Rollback
	if len(alarms) != 1 || alarms[0].Name != gateName || alarms[0].Expr != fmt.Sprintf("signal.modernErrorRate > %v", threshold) || time.Duration(alarms[0].For) != gateFor {
		t.Errorf("rollback gates are %+v", alarms)
	}
}

func TestAPromotionChangesOneLine(t *testing.T) {
	src := planFor("127.0.0.1:1", "127.0.0.1:2")
	raised, err := promote(src, gradual(25))
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(src), "\n"), strings.Split(string(raised), "\n")
	changed := 0
	for i := range was {
		if was[i] != is[i] {
			changed++
		}
	}
	if len(was) != len(is) || changed != 1 {
		t.Errorf("%d lines changed of %d", changed, len(was))
	}
	doc, problems := plan.Decode(planPath, raised)
	if plan.HasErrors(problems) || doc.Plan.Spec.Position != gradual(25) {
		t.Errorf("position is %s, problems %v", doc.Plan.Spec.Position, problems)
	}
	if _, err := promote([]byte("a: 1\n"), gradual(25)); err == nil {
		t.Error("a file without a position is edited")
	}
}

func TestAStepThatIsNotSeenSaysWhatWasExpectedAndSeen(t *testing.T) {
	n := 0
	err := (&stage{}).await(t.Context(), "gradual@10 in effect", 250*time.Millisecond, func(context.Context) (bool, string) {
		n++
		return false, "setup in effect"
	})
	var unseen *unseenError
	if !errors.As(err, &unseen) || unseen.Expected != "gradual@10 in effect" || unseen.Saw != "setup in effect" || n < 2 {
		t.Errorf("error is %v after %d looks", err, n)
	}
	err = (&stage{patience: 3}).await(t.Context(), "gradual@10 in effect", time.Millisecond, func(context.Context) (bool, string) { return false, "" })
	if !errors.As(err, &unseen) || unseen.Within != 3*time.Millisecond {
		t.Errorf("with patience the error is %v", err)
	}
	n = 0
	err = (&stage{}).await(t.Context(), "soon", time.Minute, func(context.Context) (bool, string) {
		n++
		return n == 2, ""
	})
	if err != nil || n != 2 {
		t.Errorf("error is %v after %d looks", err, n)
	}
}

func TestTheStoryEndsWhenAProcessDoes(t *testing.T) {
	st := &stage{dir: t.TempDir(), binDir: "/bin"}
	var err error
	if st.daemon, err = st.spawn("sh", "-c", "exit 3"); err != nil {
		t.Fatal(err)
	}
	defer st.close()
	err = st.await(t.Context(), "setup in effect", time.Minute, func(context.Context) (bool, string) { return false, "" })
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error is %v", err)
	}
}

func TestEvidenceWithoutTheGateIsNoBreach(t *testing.T) {
	good := admin.Gate{Effect: plan.Breaches, Name: gateName, Verdict: "Pass", Values: map[string]float64{"modernErrorRate": 0.2}}
	for name, change := range map[string]func(*admin.Gate){
		"other gate":      func(g *admin.Gate) { g.Name = "other" },
		"other effect":    func(g *admin.Gate) { g.Effect = plan.Pause },
		"did not breach":  func(g *admin.Gate) { g.Verdict = "Fail" },
		"no value":        func(g *admin.Gate) { g.Values = nil },
		"below threshold": func(g *admin.Gate) { g.Values = map[string]float64{"modernErrorRate": 0.01} },
	} {
		g := good
		change(&g)
		if _, _, err := breached(admin.Entry{Evidence: []admin.Gate{g}}); err == nil {
			t.Errorf("%s: taken for a breach", name)
		}
	}
	if _, v, err := breached(admin.Entry{Evidence: []admin.Gate{good}}); err != nil || v != 0.2 {
		t.Errorf("value %v, error %v", v, err)
	}
}

func TestMissingProgramsAndUsedFoldersAreNamed(t *testing.T) {
	err := Run(t.Context(), Options{BinDir: t.TempDir(), Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("missing programs: %v", err)
	}
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := folder(used); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("used folder: %v", err)
	}
	if _, err := folder(filepath.Join(used, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long path: %v", err)
	}
	if dir, err := folder(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Errorf("new folder %q: %v", dir, err)
	}
}

func TestColourAndCommandsOnlyWhereAsked(t *testing.T) {
	tell := func(n narrator) string {
		var b bytes.Buffer
		n.out, n.start = &b, time.Now()
		n.chapter(1, "title")
		n.say(dana, "pushed %d", 1)
		n.quote("-old", "+new")
		n.try("look")
		return b.String()
	}
	if got, want := tell(narrator{}), "\n1. title\n  0.0s  dana     pushed 1\n                 -old\n                 +new\n"; got != want {
		t.Errorf("transcript is %q, want %q", got, want)
	}
	if got := tell(narrator{colour: true, tries: true}); !strings.Contains(got, "\x1b[32m+new\x1b[0m") || !strings.Contains(got, "try:\x1b[0m look") {
		t.Errorf("transcript is %q", got)
	}
}
