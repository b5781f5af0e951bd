package kube

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// grant lets the account mover of the rig's namespace do some verbs with some
// resources there.
func (r *rig) grant(rules string) {
	r.Helper()
	r.create(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mover}
rules: [` + rules + `]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mover}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mover}
subjects: [{kind: ServiceAccount, name: mover, namespace: NS}]
`)
}

func TestAPlanHasTheRightsOfItsAccountOnly(t *testing.T) {
	r := setup(t)
	d := r.want(settings + "\n---\n" + configMap("former"))
	d.Account = "mover"
	user := `User "system:serviceaccount:` + r.ns + `:mover"`
	all := []string{"get", "list", "watch", "create", "patch", "delete"}
	without := func(verb string) string {
		var verbs []string
		for _, v := range all {
			if v != verb {
				verbs = append(verbs, v)
			}
		}
		return `{apiGroups: [""], resources: [configmaps], verbs: [` + strings.Join(verbs, ", ") + `]}`
	}
	for _, verb := range []string{"get", "create", "patch"} {
		r.grant(without(verb))
		r.renew()
		r.eventually(verb+" is named", func() bool {
			err := r.c.Expand(r.ctx(), d)
			return err != nil && strings.Contains(err.Error(), "ConfigMap "+r.ns+"/settings: permission is missing: "+user+` cannot `+verb+` resource "configmaps"`)
		})
	}
	r.grant(without(""))
	r.eventually("it is applied", func() bool { return r.c.Expand(r.ctx(), d) == nil })
	less := r.want(settings)
	less.Account = "mover"
	r.grant(without("delete"))
	r.eventually("delete is named", func() bool {
		err := r.c.Contract(r.ctx(), less)
		return err != nil && strings.Contains(err.Error(), "delete ConfigMap "+r.ns+"/former: permission is missing: "+user+" cannot delete")
	})
	r.grant(without("get"))
	r.eventually("get is named when it is observed", func() bool {
		_, err := r.c.Observe(r.ctx(), d)
		return err != nil && strings.Contains(err.Error(), "ConfigMap "+r.ns+"/settings: permission is missing: "+user+" cannot get")
	})
	// The inventory is the daemon's own affair.
	r.grant(`{apiGroups: [""], resources: [services], verbs: [get, list, watch, create, patch]}`)
	own := r.want(`{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}`)
	own.Account = "mover"
	r.key = plan.Key{Namespace: r.ns, Name: "own"}
	own.Mark.Key = r.key
	r.eventually("it is applied", func() bool { return r.c.Expand(r.ctx(), own) == nil })
	if !r.lists("Service", "web") {
		t.Errorf("the inventory lists %v", r.listed())
	}
}

func TestARightThatIsMissingForOneKindIsNamedBesideTheRest(t *testing.T) {
	r := setup(t)
	r.grant(`{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch]}`)
	d := r.want(settings + "\n---\n" + web)
	d.Account = "mover"
	r.eventually("it is named", func() bool {
		err := r.c.Expand(r.ctx(), d)
		return err != nil && strings.HasPrefix(err.Error(), "Deployment "+r.ns+`/web: permission is missing: User "system:serviceaccount:`+r.ns+`:mover" cannot get resource "deployments" in API group "apps"`)
	})
	if r.get("ConfigMap/settings") == nil {
		t.Error("the rest was not applied")
	}
}

func TestHealthIsReadWithoutAnInventory(t *testing.T) {
	k := kubetest.Shared(t)
	reader := k.Account(t, "default", "health-reader")
	r := setupOn(t, k, reader.Kubeconfig)
	r.create(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [batch], resources: [jobs], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: health-reader, namespace: default}]
`)
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: migrate}, spec: {ttlSecondsAfterFinished: 3600, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}}}`
	r.create(job)
	r.eventually("the Job is seen to be complete", func() bool { ok, _, err := r.c.Healthy(r.ctx(), r.want(job)); return ok && err == nil })
}
