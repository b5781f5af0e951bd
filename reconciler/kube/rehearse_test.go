package kube

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// rehearsal is one over the rig's API server.
func (r *rig) rehearsal() *Rehearsal {
	r.Helper()
	c, err := client.New(client.Options{Config: r.config, DryRun: true})
	must(r.TB, err)
	out, err := NewRehearsal(Options{Client: c})
	must(r.TB, err)
	return out
}

// at is what manifests desire at a stop.
func (r *rig) at(phase, text string) reconciler.Desired {
	d := r.want(text)
	d.Mark.Stop = plan.Position{Phase: phase}
	return d
}

// outcomes are those of a try, by KIND NAME.
func (r *rig) outcomes(h *Rehearsal, d reconciler.Desired) map[string]string {
	r.Helper()
	d, err := h.Place(r.ctx(), d)
	must(r.TB, err)
	trials, err := h.Try(r.ctx(), d)
	must(r.TB, err)
	out := map[string]string{}
	for _, t := range trials {
		out[t.ID.Kind+" "+t.ID.Name] = strings.TrimSuffix(string(t.Outcome)+": "+t.Why, ": ")
	}
	return out
}

func TestARehearsalNeedsAClientForDryRuns(t *testing.T) {
	c, err := client.New(client.Options{Config: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	if _, err := NewRehearsal(Options{Client: c}); err == nil || !strings.Contains(err.Error(), "must be one for dry runs") {
		t.Errorf("got %v", err)
	}
}

// What a stop deletes is judged by what is live, and nothing is deleted.
func TestARehearsalTellsWhatWouldBeDeleted(t *testing.T) {
	r := setup(t)
	const names = "abcd"
	var all []string
	for _, n := range names {
		all = append(all, "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+string(n)+", namespace: NS}}")
	}
	all = append(all, `{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, namespace: NS, annotations: {changeover.dev/prune: disabled}}}`)
	all = append(all, `{apiVersion: v1, kind: Secret, metadata: {name: guarded, namespace: NS}}`)
	r.bring(r.want(strings.Join(all, "\n---\n")))
	r.edit("configmap/b", "someone", `{"metadata":{"annotations":{"changeover.dev/plan":"other/plan"}}}`)
	r.kubectl("delete", "configmap", "c")
	hook := r.k.Webhook(t, kubetest.WebhookOptions{Namespace: r.ns, Resources: []string{"secrets"}, Operations: []string{"DELETE"}})
	hook.Deny("it is guarded")
	before := r.kubectl("get", "configmaps,secrets", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`)

	h := r.rehearsal()
	ids, mark, err := h.Live(r.ctx(), r.key)
	must(t, err)
	if len(ids) != 6 || mark != nil {
		t.Errorf("live are %v, %v", ids, mark)
	}
	d := r.at("next", all[0])
	var leave []render.ID
	for _, id := range ids {
		if id.Name != "a" {
			leave = append(leave, id)
		}
	}
	got, err := h.Leave(r.ctx(), d, leave)
	must(t, err)
	want := map[string]Leaving{
		"b": {Live: true, Stays: "belongs to plan other/plan", Foreign: true}, "c": {}, "d": {Live: true},
		"stays":   {Live: true, Stays: "annotated changeover.dev/prune: disabled"},
		"guarded": {Live: true, Refused: `delete Secret ` + r.ns + `/guarded: admission webhook "fault.kubetest.changeover.dev" denied the request: its log has the reason`},
	}
	for _, l := range got {
		w := want[l.ID.Name]
		if w.ID = l.ID; l != w {
			t.Errorf("%s: got %+v, want %+v", l.ID, l, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	after := r.kubectl("get", "configmaps,secrets", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`)
	if before != after {
		t.Errorf("there was\n%s\nthere is\n%s", before, after)
	}
}

const (
	rehearsedDefinition = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: plays.NS.example.com}, spec: {group: NS.example.com, scope: SCOPE,
  names: {kind: Play, plural: plays, singular: play}, versions: [{name: v1, served: true, storage: true,
  schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {FIELD: {type: string}}}}}}}]}}`
	play = `{apiVersion: NS.example.com/v1, kind: Play, metadata: {name: hamlet}, spec: {FIELD: denmark}}`
)

// Objects that hang on a definition, a namespace or a role that is made on the
// way are not tried; the same objects are refused where nothing makes it.
func TestARehearsalKnowsWhatIsMadeOnTheWay(t *testing.T) {
	r := setup(t)
	h := r.rehearsal()
	scoped := strings.NewReplacer("SCOPE", "Namespaced", "FIELD", "place")
	got := r.outcomes(h, r.at("one", scoped.Replace(strings.Join([]string{
		rehearsedDefinition, play, "{apiVersion: v1, kind: Namespace, metadata: {name: NS-away}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: away, namespace: NS-away}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: lost, namespace: NS-nowhere}}",
	}, "\n---\n"))))
	definition := "not tried: the definition of its kind is made at "
	for name, want := range map[string]string{
		"ConfigMap changeover-inventory-shop":                     "accepted",
		"CustomResourceDefinition plays." + r.ns + ".example.com": "accepted",
		"Play hamlet":                 definition + "this stop",
		"Namespace " + r.ns + "-away": "accepted",
		"ConfigMap away":              "not tried: Namespace " + r.ns + "-away is made at this stop",
		"ConfigMap lost":              `refused: namespace "` + r.ns + `-nowhere" does not exist: create it, or add it to the kustomization`,
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	// The stop after has them no more, and knows that they were made.
	got = r.outcomes(h, r.at("two", scoped.Replace(play+"\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: away, namespace: NS-away}}")))
	if want := definition + "one"; got["Play hamlet"] != want {
		t.Errorf("hamlet is %q, want %q", got["Play hamlet"], want)
	}
	if want := "not tried: Namespace " + r.ns + "-away is made at one"; got["ConfigMap away"] != want {
		t.Errorf("away is %q, want %q", got["ConfigMap away"], want)
	}
	for _, ref := range []string{"Namespace/" + r.ns + "-away", kindCRD + "/plays." + r.ns + ".example.com", "ConfigMap/changeover-inventory-shop"} {
		if o := r.get(ref); o != nil {
			t.Errorf("%s is there", ref)
		}
	}
}

// An object that fits only what its definition becomes is not tried.
func TestARehearsalKnowsDefinitionsThatChange(t *testing.T) {
	r := setup(t)
	cluster := func(field string) string {
		return strings.NewReplacer("SCOPE", "Cluster", "FIELD", field).Replace(rehearsedDefinition)
	}
	name := "plays." + r.ns + ".example.com"
	r.expand(r.want(cluster("place")))
	t.Cleanup(func() { r.k.Delete(t, kindCRD+"."+groupCRD, "", name) })
	two := strings.ReplaceAll(play, "FIELD", "act")
	got := r.outcomes(r.rehearsal(), r.at("one", cluster("act")+"\n---\n"+two))
	if !strings.HasPrefix(got["Play hamlet"], "not tried: the definition of its kind is changed on the way, and as it is live now: ") {
		t.Errorf("hamlet is %q", got["Play hamlet"])
	}
	got = r.outcomes(r.rehearsal(), r.at("one", two))
	if !strings.HasPrefix(got["Play hamlet"], "refused: the manifest does not fit its kind") {
		t.Errorf("without the definition hamlet is %q", got["Play hamlet"])
	}
	got = r.outcomes(r.rehearsal(), r.at("one", cluster("place")+"\n---\n"+strings.ReplaceAll(play, "FIELD", "place")))
	if got["Play hamlet"] != "accepted" {
		t.Errorf("with the definition that is live hamlet is %q", got["Play hamlet"])
	}
}

// As the plan's account, a binding to a role that is made with it is not tried.
func TestARehearsalActsAsThePlansAccount(t *testing.T) {
	r := setup(t)
	r.k.Apply(t, r.ns, `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: binds}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings], verbs: [get, list, create, patch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: binds}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: binds}, subjects: [{kind: ServiceAccount, name: plain, namespace: `+r.ns+`}]}
`)
	d := r.at("one", `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: new}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: new}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: new}, subjects: [{kind: ServiceAccount, name: x, namespace: NS}]}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`)
	d.Account = "plain"
	got := r.outcomes(r.rehearsal(), d)
	if got["Role new"] != "accepted" || got["RoleBinding new"] != "not tried: Role "+r.ns+"/new is made at this stop" {
		t.Errorf("got %q", got)
	}
	if want := `refused: permission is missing: User "system:serviceaccount:` + r.ns + `:plain"`; !strings.HasPrefix(got["ConfigMap c"], want) {
		t.Errorf("c is %q", got["ConfigMap c"])
	}
}

// An API server that does not answer ends the rehearsal: nothing is refused.
func TestARehearsalEndsWithoutAnAnswer(t *testing.T) {
	k := kubetest.Shared(t)
	p := k.Proxy(t, "")
	r := setupOn(t, k, p.Kubeconfig)
	d, h := r.at("one", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`), r.rehearsal()
	_, err := h.Try(r.ctx(), d)
	must(t, err)
	f := p.Inject(kubetest.Fault{Method: "PATCH", Delay: time.Millisecond})
	defer f.Lift()
	if trials, err := h.Try(r.ctx(), d); !client.Unreachable(err) || trials != nil {
		t.Errorf("got %v, %v", trials, err)
	}
}
