package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/fakes"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// rights are all that the record and the events need.
var rights = []struct{ group, resource, verb, whole string }{
	{"changeover.dev", "migrationplans", "get", `cannot get resource "migrationplans"`},
	{"changeover.dev", "migrationplans", "list", ""},
	{"changeover.dev", "migrationplans", "watch", `cannot watch resource "migrationplans"`},
	{"changeover.dev", "migrationplans", "create", `cannot create resource "migrationplans"`},
	{"changeover.dev", "migrationplans", "patch", `cannot patch resource "migrationplans"`},
	{"changeover.dev", "migrationplans/status", "update", `cannot update resource "migrationplans/status"`},
	{"events.k8s.io", "events", "create", `cannot create resource "events"`},
	{"events.k8s.io", "events", "patch", `cannot patch resource "events"`},
}

// role grants all but one of the rights to an account.
func role(but int, user, namespace string) string {
	var rules []string
	for i, r := range rights {
		if i != but {
			rules = append(rules, fmt.Sprintf("{apiGroups: [%s], resources: [%s], verbs: [%s]}", r.group, r.resource, r.verb))
		}
	}
	return fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: %[1]s}, rules: [%[2]s]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: %[1]s},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}, subjects: [{kind: ServiceAccount, name: daemon, namespace: %[1]s}]}`,
		namespace, strings.Join(rules, ", "))
}

// TestEachRightIsNeededAndTold takes one right away at a time.
func TestEachRightIsNeededAndTold(t *testing.T) {
	t.Parallel()
	k := install(t)
	for but := -1; but < len(rights); but++ {
		name, words := "none", ""
		if but >= 0 {
			name, words = rights[but].verb+" "+rights[but].resource, rights[but].whole
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
			a := k.Account(t, key.Namespace, "daemon")
			k.Apply(t, "", role(but, a.User, key.Namespace))
			t.Cleanup(func() {
				for _, kind := range []string{"ClusterRole", "ClusterRoleBinding"} {
					k.Delete(t, kind+".rbac.authorization.k8s.io", "", key.Namespace)
				}
			})
			config, err := kubetest.ReadKubeconfig(a.Kubeconfig)
			must(t, err)
			d := startWith(t, config, open(t, t.TempDir())).run(t)
			v := tell(t, config, d.UID)
			_, _, loaded := d.Load(t.Context(), key)
			evaluate(t, d, key, 1)
			v.Notify(t.Context(), key, told(time.Now(), decide.Advance, decide.GatesPassed, "m"), false)
			v.Notify(t.Context(), key, told(time.Now(), decide.Advance, decide.GatesPassed, "m"), false)
			said := func() string { return fmt.Sprint(d.Problem(key), loaded, v.log) }
			if words == "" { // a watch needs no list where the server streams
				shows(t, k, key, 1)
				haveEvents(t, k, key, 1)
				time.Sleep(time.Second)
				if strings.Contains(said(), "permission") {
					t.Errorf("a permission is missing: %s", said())
				}
				return
			}
			kubetest.WaitFor(t, "it says "+words, func() bool {
				text := strings.ReplaceAll(said(), `\"`, `"`)
				return strings.Contains(text, "permission is missing: ") && strings.Contains(text, words)
			})
		})
	}
}

func TestTheServerKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	k := kubetest.Start(t, cluster.Options{})
	k.Apply(t, "", string(schemas.Definition))
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	d := startWith(t, k.Config, &fakes.Recorder{}).run(t)
	evaluate(t, d, key, 1)
	shows(t, k, key, 1)
	k.KillAPIServer()
	for n := int64(2); n <= 5; n++ {
		must(t, d.Save(t.Context(), key, numbered(n)))
	}
	kubetest.WaitFor(t, "the problem is told", func() bool { return strings.Contains(d.Problem(key), "cannot be reached") })
	if _, _, err := startWith(t, k.Config, &fakes.Recorder{}).Load(t.Context(), key); err == nil || apierrors.IsNotFound(err) || errors.Is(err, errDamaged) {
		t.Errorf("Load from a server that is gone: %v", err)
	}
	must(t, k.StartAPIServer(t.Context()))
	shows(t, k, key, 5)
	k.Delete(t, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	shows(t, k, key, 5) // the watch is back too
	if len(d.fence) > 0 {
		t.Errorf("it was fenced: %v", <-d.fence)
	}
}
