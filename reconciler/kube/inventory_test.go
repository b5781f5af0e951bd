package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestTheInventoryListsWhatItIsGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := map[render.ID]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			ids[render.ID{
				Group: rapid.SampledFrom([]string{"", "apps", "a.example.com"}).Draw(t, "group"), Kind: rapid.SampledFrom([]string{"A", "Bc"}).Draw(t, "kind"),
				Namespace: rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "namespace"), Name: rapid.StringMatching(`[a-z0-9.:-]{1,9}`).Draw(t, "name"),
			}] = true
		}
		text, err := encodeIDs(ids)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeIDs(text)
		if err != nil || len(got) != len(ids) || !covers(got, ids) {
			t.Fatalf("%v became %s and %v: %v", ids, text, got, err)
		}
	})
}

func TestAnInventoryThatIsTooLargeIsRefusedInWords(t *testing.T) {
	ids := map[render.ID]bool{}
	for i := range 5000 {
		ids[render.ID{Group: "apps", Kind: "Deployment", Namespace: "one", Name: fmt.Sprintf("a-name-of-some-length-%05d", i)}] = true
	}
	text, err := encodeIDs(ids)
	if err != nil || len(text) > 160_000 {
		t.Errorf("5000 objects take %d bytes: %v", len(text), err)
	}
	for i := range 40_000 {
		ids[render.ID{Kind: "ConfigMap", Namespace: "two", Name: fmt.Sprintf("a-name-of-some-length-%05d", i)}] = true
	}
	_, err = encodeIDs(ids)
	says(t, err, "a list of 45000 objects takes", "split the plan")
}

func TestTheInventoryIsWrittenBeforeAnythingIsApplied(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	i := proxy.Inject(kubetest.Fault{Method: http.MethodPatch, Code: http.StatusInternalServerError})
	says(t, r.c.Expand(r.ctx(), r.want(settings+"\n---\n"+web)), "ConfigMap "+r.ns+"/settings: the API server failed (500 InternalError)")
	if ids := r.listed(); len(ids) != 2 {
		t.Errorf("the inventory lists %v", ids)
	}
	i.Lift()
	// The plan goes elsewhere: what came through meanwhile would be pruned.
	r.create(settings)
	r.bring(r.want(configMap("other")))
	if ids := r.listed(); len(ids) != 1 {
		t.Errorf("afterwards the inventory lists %v", ids)
	}
	proxy.Inject(kubetest.Fault{Method: http.MethodPut, Code: http.StatusInternalServerError})
	r.requests.take()
	says(t, r.c.Expand(r.ctx(), r.want(settings)), "write the inventory: ConfigMap "+r.ns+"/changeover-inventory-shop: the API server failed")
	if got := with(r.requests.take(), "PATCH"); len(got) != 0 {
		t.Errorf("applied without the inventory: %v", got)
	}
}

func TestALostInventoryIsMadeAnewFromWhatIsLive(t *testing.T) {
	r := setup(t)
	r.bring(r.want(settings + "\n---\n" + configMap("former") + "\n---\n" + web + "\n---\n" +
		"{apiVersion: v1, kind: Service, metadata: {name: former}, spec: {ports: [{port: 80}]}}"))
	r.kubectl("annotate", "configmap/former", "note=x")
	copied := strings.NewReplacer("former", "copy").Replace(fmt.Sprintf(
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: former, labels: {%s: "true"}, annotations: {%s: %s}}}`, render.ManagedLabel, render.PlanAnnotation, r.key))
	r.create(copied)
	d := r.want(settings + "\n---\n" + web)
	// What the process remembers is found whatever its kind.
	r.observe(d)
	r.kubectl("delete", "configmap", "changeover-inventory-shop")
	r.expand(d)
	if !r.lists("Service", "former") {
		t.Errorf("the inventory lists %v", r.listed())
	}
	r.renewed(func() {
		r.kubectl("delete", "configmap", "changeover-inventory-shop")
		if st := r.observe(d); st.InSync || st.Mark != nil || !strings.Contains(st.Message, "ConfigMap "+r.ns+"/changeover-inventory-shop: it does not list all that was applied") {
			t.Errorf("without the inventory: %+v", st)
		}
		r.expand(d)
		if !r.lists("ConfigMap", "former") || r.lists("ConfigMap", "copy") {
			t.Errorf("the inventory lists %v", r.listed())
		}
	})
	r.waitHealthy(d)
	must(t, r.c.Contract(r.ctx(), d))
	if r.get("ConfigMap/former") != nil || r.get("ConfigMap/copy") == nil {
		t.Error("the wrong one was pruned")
	}
}

func TestADamagedInventoryIsNamedAndNothingIsDone(t *testing.T) {
	r := setup(t)
	d := r.want(settings)
	r.bring(d)
	r.renewed(func() {
		r.kubectl("patch", "configmap/changeover-inventory-shop", "--type=merge", `--patch={"data":{"objects":"{"}}`)
		err := r.c.Expand(r.ctx(), r.want(configMap("other")))
		says(t, err, "read the inventory: ConfigMap "+r.ns+"/changeover-inventory-shop: its list of objects was changed and cannot be read; delete it")
		if r.get("ConfigMap/other") != nil {
			t.Error("it was applied all the same")
		}
		if _, err := r.c.Observe(r.ctx(), d); err == nil {
			t.Error("Observe sees nothing of it")
		}
	})
	r.kubectl("delete", "configmap", "changeover-inventory-shop")
	r.bring(d)
}

func TestTheMarkIsKeptInTheInventory(t *testing.T) {
	r := setup(t)
	if m, err := r.c.Mark(r.ctx(), r.key); m != nil || err != nil {
		t.Errorf("before anything was applied: %v %v", m, err)
	}
	d := r.want(settings)
	says(t, r.c.SetMark(r.ctx(), d), "mark the inventory", "is not there")
	r.bring(d)
	if st := r.observe(d); st.Mark != nil {
		t.Errorf("%+v", st.Mark)
	}
	r.kubectl("annotate", "configmap/changeover-inventory-shop", "theirs=1")
	d.Mark.Since = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	d.Mark.Holds = []plan.Revision{"89abcdef0123456789abcdef0123456789abcdef", "ffabcdef0123456789abcdef0123456789abcdef"}
	must(t, r.c.SetMark(r.ctx(), d))
	r.renewed(func() {
		m, err := r.c.Mark(r.ctx(), r.key)
		must(t, err)
		st := r.observe(d)
		if m == nil || !sameMark(*m, d.Mark) || st.Mark == nil || !sameMark(*st.Mark, d.Mark) || !st.InSync {
			t.Errorf("%+v, %+v", m, st)
		}
	})
	r.requests.take()
	must(t, r.c.SetMark(r.ctx(), d))
	if got := with(r.requests.take(), "P"); len(got) != 0 {
		t.Errorf("the same mark wrote %v", got)
	}
	d.Mark.Holds = nil
	must(t, r.c.SetMark(r.ctx(), d))
	o := r.get("ConfigMap/changeover-inventory-shop")
	if a := o.GetAnnotations(); a["theirs"] != "1" || a[render.HoldsAnnotation] != "" || a[render.StopAnnotation] != "gradual@10" {
		t.Errorf("annotations %v", a)
	}
	// It survives what is applied and pruned later.
	r.bring(r.want(configMap("other")))
	if m, err := r.c.Mark(r.ctx(), r.key); err != nil || m == nil || !sameMark(*m, d.Mark) {
		t.Errorf("%+v %v", m, err)
	}
	r.kubectl("annotate", "--overwrite", "configmap/changeover-inventory-shop", render.SinceAnnotation+"=yesterday")
	if m, err := r.c.Mark(r.ctx(), r.key); m != nil || err != nil {
		t.Errorf("one that cannot be read: %+v %v", m, err)
	}
}

func TestOthersMayWriteTheInventoryMeanwhile(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	r.bring(r.want(settings))
	conflict := proxy.Inject(kubetest.Fault{Method: http.MethodPut, Code: http.StatusConflict, Times: 2})
	r.bring(r.want(settings + "\n---\n" + configMap("second")))
	if conflict.Struck() != 2 || len(r.listed()) != 2 {
		t.Errorf("struck %d, listed %v", conflict.Struck(), r.listed())
	}
	conflict = proxy.Inject(kubetest.Fault{Method: http.MethodPut, Code: http.StatusConflict})
	says(t, r.c.Expand(r.ctx(), r.want(configMap("third"))), "write the inventory", "changed by someone else meanwhile")
	conflict.Lift()
	// An answer that was lost: it was written all the same.
	proxy.Inject(kubetest.Fault{Method: http.MethodPut, AnswerLost: true, Times: 1})
	if err := r.c.Expand(r.ctx(), r.want(configMap("third"))); err == nil {
		t.Error("no error though the answer was lost")
	}
	r.bring(r.want(configMap("third")))
	if ids := r.listed(); len(ids) != 1 {
		t.Errorf("listed %v", ids)
	}
}

func TestTwoPlansOfANamespaceHaveTwoInventories(t *testing.T) {
	r := setup(t)
	one := r.want(settings)
	r.bring(one)
	r.key = plan.Key{Namespace: r.ns, Name: "other"}
	two := r.want(configMap("second"))
	r.bring(two)
	for _, d := range []reconciler.Desired{one, two} {
		if st := r.observe(d); !st.InSync || st.Message != "" {
			t.Errorf("%+v", st)
		}
	}
	if r.get("ConfigMap/settings") == nil {
		t.Error("one pruned the other's")
	}
}
