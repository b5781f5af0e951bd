package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

func TestCompareSaysWhatChanged(t *testing.T) {
	at := func(phase string, percent plan.Percent) plan.Position {
		return plan.Position{Phase: phase, Percent: percent}
	}
	same := plan.Change{From: at("gradual", 10), To: at("gradual", 10), Direction: plan.Same}
	for name, c := range map[string]struct {
		old, new string
		want     func(plan.Change) plan.Change
	}{
		"comments and format":   {"  position: {phase: gradual, percent: 10}", "  # why\n  position:\n    percent: 10.0\n    phase: 'gradual'", func(c plan.Change) plan.Change { return c }},
		"a default spelled out": {"{name: orders}", "{name: orders, namespace: default}", func(c plan.Change) plan.Change { return c }},
		"forward": {"percent: 10}", "percent: 50}", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Fields = at("gradual", 50), plan.Forward, []string{"spec.position.percent"}
			return c
		}},
		"backward": {"{phase: gradual, percent: 10}", "{phase: setup}", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Fields = at("setup", 0), plan.Backward, []string{"spec.position.percent", "spec.position.phase"}
			return c
		}},
		"suspend": {"  gateway:", "  suspend: true\n  gateway:", func(c plan.Change) plan.Change {
			c.Suspend, c.Fields = true, []string{"spec.suspend"}
			return c
		}},
		"a gate is quiet": {"> 0.03", "> 0.04", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.phases[gradual].gates.rollback[high-errors].expr"}
			return c
		}},
		"bake is quiet": {"bake: 1h", "bake: 2h", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.phases[gradual].bake"}
			return c
		}},
		"a signal is quiet": {"errors_total", "failures_total", func(c plan.Change) plan.Change {
			c.Content, c.Fields = true, []string{"spec.signals.errors.query"}
			return c
		}},
		"a route is live": {"[{to: split}]", "[{to: modern}]", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.phases[gradual].routes[0].to"}
			return c
		}},
		"a backend is live": {":8000", ":8001", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.backends.modern.url"}
			return c
		}},
		"the gateway is live": {"bridge: {}", "nginx: {}", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.gateway.bridge", "spec.gateway.nginx"}
			return c
		}},
		"the cohort is live": {"X-Tenant-ID}", "X-Tenant-ID, cohort: so}", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.identity.cohort"}
			return c
		}},
		"a removed stop": {"percent: 10}\n", "percent: 50}\n", func(c plan.Change) plan.Change {
			c.To, c.Direction, c.Content, c.Live = at("gradual", 50), plan.Unknown, true, true
			c.Removed = []plan.Position{at("gradual", 10)}
			c.Fields = []string{"spec.phases[gradual].percents[0]", "spec.phases[gradual].percents[1]", "spec.position.percent"}
			return c
		}},
		"a new phase": {"    - name: gradual", "    - {name: shadow, routes: [{to: legacy}]}\n    - name: gradual", func(c plan.Change) plan.Change {
			c.Content, c.Live, c.Fields = true, true, []string{"spec.phases[shadow]"}
			return c
		}},
	} {
		t.Run(name, func(t *testing.T) {
			src := with(t, c.old, c.new)
			if name == "a removed stop" {
				src = strings.Replace(src, "[10, 50]", "[50]", 1)
			}
			if diff := cmp.Diff(c.want(same), plan.Compare(good(t, base), good(t, src))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOrderOfPhasesIsAChange(t *testing.T) {
	a, b := good(t, base), good(t, base)
	b.Spec.Phases[0], b.Spec.Phases[1] = b.Spec.Phases[1], b.Spec.Phases[0]
	if c := plan.Compare(a, b); !c.Content || !c.Live || !cmp.Equal(c.Fields, []string{"spec.phases"}) {
		t.Errorf("change %+v", c)
	}
}

func TestAPlanThatWasNotThereComesForward(t *testing.T) {
	p := good(t, base)
	if c := plan.Compare(nil, p); c.Direction != plan.Forward || !c.Content || !c.Live || c.Removed != nil || c.To != p.Spec.Position {
		t.Errorf("added: %+v", c)
	}
	if c := plan.Compare(p, nil); c.Direction != plan.Backward || !c.Content || !c.Live || len(c.Removed) != 3 {
		t.Errorf("removed: %+v", c)
	}
}

func TestDigestsAreStable(t *testing.T) {
	p := good(t, base)
	content, live := plan.ContentDigest(p), plan.LiveDigest(p)
	for range 20 {
		if q := good(t, base); plan.ContentDigest(q) != content || plan.LiveDigest(q) != live {
			t.Fatal("the digests differ from one decoding to the next")
		}
	}
	if content == live || !strings.HasPrefix(string(content), "sha256:") || len(content) != len("sha256:")+64 {
		t.Errorf("content %s, live %s", content, live)
	}
	// They are in records that outlive a version of the program.
	golden(t, "testdata/digests", string(content)+"\n"+string(live)+"\n")
}
