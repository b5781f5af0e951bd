package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// Cluster runs the suite of reconciler.Cluster. Each call of open gives a Site of
// its own. On it a Deployment becomes ready by itself, unless its pods select a
// node that is not there.
func Cluster(t *testing.T, open func(t *testing.T) Site) {
	for name, check := range map[string]func(*testing.T, Site){
		"before anything is applied it says so":         nothingApplied,
		"what is applied is live, and in sync":          appliedIsLive,
		"the same again changes nothing":                clusterSameAgain,
		"an empty render is refused":                    emptyIsRefused,
		"expand takes nothing away":                     expandTakesNothing,
		"contract lowers and deletes":                   contractTakes,
		"contract waits until all is ready":             contractWaits,
		"more than may be deleted stays":                maxPruneStays,
		"without prune things stay":                     withoutPrune,
		"what is to stay stays":                         disabledStays,
		"what goes missing is seen and put right":       missingIsPutRight,
		"an object of another plan is not touched":      anotherPlans,
		"health is asked of what is named only":         healthOfSome,
		"the mark is kept, and changes nothing else":    clusterMark,
		"an object that is not there is neither nor":    readAbsent,
		"going back gives what was there before":        thereAndBack,
		"plans without requirements lack nothing":       nothingRequired,
		"the objects of a render are not written to":    renderIsKept,
		"where an object cannot be applied it is named": cannotBeApplied,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func nothingApplied(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"))
	s.differs(t, d, "ConfigMap", "one")
	if st := s.observe(t, d); st.Mark != nil {
		t.Errorf("Mark in Observe: %+v", st.Mark)
	}
	m, err := s.Cluster.Mark(within(t), s.Key)
	if m != nil || err != nil {
		t.Errorf("Mark: %v, %v", m, err)
	}
	if ok, why, err := s.Cluster.Healthy(within(t), s.want(t, web("1", ""))); ok || why == "" || err != nil {
		t.Errorf("Healthy: %v, %q, %v", ok, why, err)
	}
	s.there(t, "ConfigMap", "one", false)
}

func appliedIsLive(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"), web("2", ""))
	s.bring(t, d)
	s.is(t, d)
	o := render.Object(s.Live(t, "ConfigMap", "one"))
	if o == nil || o.Annotation(render.PlanAnnotation) != s.Key.String() {
		t.Errorf("live: %v", o)
	}
	if n := s.replicas(t); n != 2 {
		t.Errorf("%d replicas", n)
	}
}

func clusterSameAgain(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"), web("2", ""))
	s.bring(t, d)
	s.bring(t, d)
	s.is(t, d)
}

func emptyIsRefused(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one")))
	d := s.want(t)
	if err := s.Cluster.Expand(within(t), d); err == nil {
		t.Error("Expand took it")
	}
	if err := s.Cluster.Contract(within(t), d); err == nil {
		t.Error("Contract took it")
	}
	s.there(t, "ConfigMap", "one", true)
}

func expandTakesNothing(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one"), web("3", "")))
	d := s.want(t, settingsOf("two"), web("1", ""))
	s.expand(t, d)
	s.there(t, "ConfigMap", "one", true)
	s.there(t, "ConfigMap", "two", true)
	if n := s.replicas(t); n != 3 {
		t.Errorf("%d replicas", n)
	}
	s.differs(t, d, "ConfigMap", "one")
	s.differs(t, d, "Deployment", "web")
	s.healthy(t, d)
	s.expand(t, s.want(t, web("4", "")))
	if n := s.replicas(t); n != 4 {
		t.Errorf("%d replicas after more were wanted", n)
	}
}

func contractTakes(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one"), web("3", "")))
	d := s.want(t, settingsOf("two"), web("1", ""))
	s.bring(t, d)
	s.there(t, "ConfigMap", "one", false)
	if n := s.replicas(t); n != 1 {
		t.Errorf("%d replicas", n)
	}
	s.is(t, d)
}

func contractWaits(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one")))
	d := s.want(t, settingsOf("two"), web("1", nowhere))
	s.expand(t, d)
	ok, why, err := s.Cluster.Healthy(within(t), d)
	if ok || !strings.Contains(why, "Deployment "+s.Key.Namespace+"/web") || err != nil {
		t.Errorf("Healthy: %v, %q, %v", ok, why, err)
	}
	if err := s.Cluster.Contract(within(t), d); err == nil {
		t.Error("Contract took it")
	}
	s.there(t, "ConfigMap", "one", true)
	if st := s.observe(t, d); st.Healthy {
		t.Errorf("Observe: %+v", st)
	}
}

func maxPruneStays(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one"), settingsOf("two"), settingsOf("three"), settingsOf("four"), settingsOf("five")))
	d := s.want(t, settingsOf("one"))
	s.expand(t, d)
	err := s.Cluster.Contract(within(t), d)
	if err == nil || !strings.Contains(err.Error(), "4") || !strings.Contains(err.Error(), "maxPrune") {
		t.Errorf("Contract: %v", err)
	}
	for _, name := range []string{"two", "three", "four", "five"} {
		s.there(t, "ConfigMap", name, true)
	}
	s.bring(t, s.want(t, settingsOf("one"), settingsOf("two")))
	s.there(t, "ConfigMap", "two", true)
	s.there(t, "ConfigMap", "five", false)
}

func withoutPrune(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one"), settingsOf("two")))
	d := s.want(t, settingsOf("one"))
	d.Prune = false
	s.bring(t, d)
	s.there(t, "ConfigMap", "two", true)
	if st := s.observe(t, d); !st.InSync || !strings.Contains(st.Message, "ConfigMap "+s.Key.Namespace+"/two") {
		t.Errorf("Observe: %+v", st)
	}
	s.bring(t, s.want(t, settingsOf("one")))
	s.there(t, "ConfigMap", "two", false)
}

func disabledStays(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one"), settingsOf("two")))
	s.Annotate(t, "ConfigMap", "two", render.PruneAnnotation, "disabled")
	d := s.want(t, settingsOf("one"))
	s.bring(t, d)
	s.there(t, "ConfigMap", "two", true)
	if st := s.observe(t, d); !st.InSync || !strings.Contains(st.Message, "ConfigMap "+s.Key.Namespace+"/two") {
		t.Errorf("Observe: %+v", st)
	}
}

func missingIsPutRight(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"), web("1", ""))
	s.bring(t, d)
	s.is(t, d)
	s.Remove(t, "ConfigMap", "one")
	for end := time.Now().Add(patience); s.observe(t, d).InSync && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		// A watch may tell of it a moment later.
	}
	s.differs(t, d, "ConfigMap", "one")
	s.bring(t, d)
	s.there(t, "ConfigMap", "one", true)
	s.is(t, d)
}

func anotherPlans(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"))
	s.bring(t, d)
	other := s.want(t, settingsOf("one"), settingsOf("two"))
	other.Mark.Key.Name = "other"
	err := s.Cluster.Expand(within(t), other)
	if err == nil || !strings.Contains(err.Error(), "ConfigMap "+s.Key.Namespace+"/one") || !strings.Contains(err.Error(), s.Key.String()) {
		t.Errorf("Expand: %v", err)
	}
	s.there(t, "ConfigMap", "two", true) // it goes on past the one that failed
	other.Objects = other.Objects[1:]
	s.bring(t, other)
	s.is(t, other)
	s.is(t, d)
}

func healthOfSome(t *testing.T, s Site) {
	stuck := strings.ReplaceAll(web("1", nowhere), "name: web}", "name: stuck}")
	d := s.want(t, web("1", ""), stuck)
	s.expand(t, d)
	some := d
	some.Objects = d.Objects[:1]
	s.healthy(t, some)
	if ok, _, err := s.Cluster.Healthy(within(t), d); ok || err != nil {
		t.Errorf("Healthy of all: %v, %v", ok, err)
	}
}

func clusterMark(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"))
	s.bring(t, d)
	d.Mark.Holds = []plan.Revision{"89abcdef0123456789abcdef0123456789abcdef"}
	must(t, s.Cluster.SetMark(within(t), d))
	m, err := s.Cluster.Mark(within(t), s.Key)
	if err != nil || !sameMark(m, d.Mark) {
		t.Errorf("Mark: %+v, %v", m, err)
	}
	if st := s.observe(t, d); !st.InSync || !sameMark(st.Mark, d.Mark) {
		t.Errorf("Observe: %+v with mark %+v", st, st.Mark)
	}
	// What is applied later leaves the mark of what was.
	next := s.want(t, settingsOf("two"))
	next.Mark.Stop = at25
	s.bring(t, next)
	if m, err := s.Cluster.Mark(within(t), s.Key); err != nil || !sameMark(m, d.Mark) {
		t.Errorf("Mark after the next stop: %+v, %v", m, err)
	}
	must(t, s.Cluster.SetMark(within(t), next))
	if m, err := s.Cluster.Mark(within(t), s.Key); err != nil || !sameMark(m, next.Mark) {
		t.Errorf("the next mark: %+v, %v", m, err)
	}
	if m, err := s.Cluster.Mark(within(t), plan.Key{Namespace: s.Key.Namespace, Name: "other"}); m != nil || err != nil {
		t.Errorf("another plan's mark: %+v, %v", m, err)
	}
}

func readAbsent(t *testing.T, s Site) {
	s.bring(t, s.want(t, settingsOf("one")))
	p := &plan.Plan{Metadata: plan.Metadata{Namespace: s.Key.Namespace, Name: s.Key.Name}, Spec: plan.Spec{Objects: map[string]plan.ObjectRef{
		"there": {APIVersion: "v1", Kind: "ConfigMap", Name: "one"}, "absent": {APIVersion: "v1", Kind: "ConfigMap", Name: "absent"},
	}}}
	got := s.Cluster.Read(within(t), p, []string{"there", "absent"})
	if o, ok := got["absent"]; !ok || o.Value != nil || o.Err != nil {
		t.Errorf("absent: %+v, %v", o, ok)
	}
	data, _ := got["there"].Value["data"].(map[string]any)
	if o := got["there"]; o.Err != nil || data["mode"] != "a" {
		t.Errorf("there: %+v", o)
	}
}

func thereAndBack(t *testing.T, s Site) {
	first := s.want(t, settingsOf("one"), web("3", ""))
	second := s.want(t, settingsOf("two"), strings.ReplaceAll(web("1", ""), "web:1", "web:2"))
	for _, d := range []reconciler.Desired{first, second, first, second, first} {
		s.bring(t, d)
		s.is(t, d)
	}
	s.there(t, "ConfigMap", "one", true)
	s.there(t, "ConfigMap", "two", false)
	if n := s.replicas(t); n != 3 {
		t.Errorf("%d replicas", n)
	}
}

func nothingRequired(t *testing.T, s Site) {
	unmet, err := s.Cluster.Unmet(within(t), &plan.Plan{Metadata: plan.Metadata{Namespace: s.Key.Namespace, Name: s.Key.Name}})
	if len(unmet) != 0 || err != nil {
		t.Errorf("Unmet: %v, %v", unmet, err)
	}
}

func renderIsKept(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"), web("1", ""))
	kept := s.want(t, settingsOf("one"), web("1", ""))
	s.bring(t, d)
	s.observe(t, d)
	want(t, "the objects", d.Objects, kept.Objects, nil)
}

func cannotBeApplied(t *testing.T, s Site) {
	d := s.want(t, settingsOf("one"), "{apiVersion: nowhere.example.com/v1, kind: Nothing, metadata: {name: two}}")
	err := s.Cluster.Expand(within(t), d)
	if err == nil || !strings.Contains(err.Error(), "Nothing ") || !strings.Contains(err.Error(), "two") {
		t.Errorf("Expand: %v", err)
	}
	s.there(t, "ConfigMap", "one", true)
	if st := s.observe(t, d); st.InSync || st.Healthy {
		t.Errorf("Observe: %+v", st)
	}
	if err := s.Cluster.Contract(within(t), d); err == nil {
		t.Error("Contract took it")
	}
	s.bring(t, s.want(t, settingsOf("one")))
}
