package kube

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/stack"
)

const dataPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: NAMESPACE}
spec:
  position: {phase: monolith}
  phases:
    - name: monolith
    - name: converted
      backup: {include: [{apiVersion: nephoran.com/v1, kind: NetworkIntent, namespace: NAMESPACE}]}
      rollback: {removeTransformed: true, restore: RESTORE}
      transforms:
        - name: nw-intents
          from: {apiVersion: nephoran.com/v1, kind: NetworkIntent, namespace: NAMESPACE}
          batchSize: 5
          to:
            - name: processing
              object: |
                {"apiVersion": "nephoran.com/v1", "kind": "IntentProcessing", "metadata": {"name": object.metadata.name, "namespace": object.metadata.namespace},
                 "spec": {"intentRef": object.metadata.name, "intent": object.spec.intent}}
          verify: [targets.processing.spec.intent == object.spec.intent]
      gates:
        advance: [{name: whole, expr: 'transforms["nw-intents"].complete && transforms["nw-intents"].objects == COUNT && transforms["nw-intents"].orphaned == 0'}]
        pause: [{name: fails, expr: 'transforms["nw-intents"].failed > 0'}]
    - name: settled
`

// dataRig is the real daemon over a plan that saves intents and turns them into others.
type dataRig struct {
	*rig
	n int
}

func newDataRig(t *testing.T, restore string, n int) *dataRig {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	k.Apply(t, "", files(t, "nephoran")["overlays/definitions/definitions.yaml"])
	words := strings.NewReplacer("RESTORE", restore, "COUNT", fmt.Sprint(n))
	r := &dataRig{n: n, rig: &rig{t: t, k: k, namespace: k.Namespace(t)}}
	r.Stack = stack.Start(t, stack.Options{
		Bin: bin, Plan: strings.ReplaceAll(words.Replace(dataPlan), "NAMESPACE", r.namespace), Args: []string{"--kubeconfig", k.Kubeconfig},
	})
	for i := range n {
		spec := fmt.Sprintf("{intent: wish-%d}", i)
		if i == 7 {
			spec = "{priority: high}" // what it is to become cannot be told
		}
		k.Apply(t, r.namespace, fmt.Sprintf("{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: i%02d}, spec: %s}", i, spec))
	}
	r.StartDaemon()
	r.at("monolith")
	return r
}

func (r *dataRig) at(stop string) {
	r.t.Helper()
	r.Await("at "+stop, patience*2, func(s reconciler.Status) bool {
		return s.Effective.String() == stop && s.Move == nil && s.Error == "" && s.Declared == s.Effective && len(s.Work) == 0
	})
}

// killed kills the daemon, starts it anew, and returns when it answers: until then
// the status is what the killed one wrote.
func (r *dataRig) killed() {
	r.t.Helper()
	r.KillDaemon()
	r.StartDaemon()
	kubetest.WaitFor(r.t, "the daemon answers", func() bool {
		out, err := exec.Command(filepath.Join(bin, "changeover"), "status", "orders", "--state-dir", r.State).CombinedOutput()
		return err == nil && !strings.Contains(string(out), "No daemon is running")
	})
}

// works waits until one kind of work says something.
func (r *dataRig) works(name, what string, ok func(reconciler.Progress) bool) {
	r.t.Helper()
	r.Await(name+" "+what, patience*2, func(s reconciler.Status) bool {
		return slices.ContainsFunc(s.Work, func(p reconciler.Progress) bool { return p.Name == name && strings.Contains(p.Message, what) && ok(p) })
	})
}

// names of the objects of a resource, with what a field of the spec says.
func (r *dataRig) names(resource, field string) (out []string) {
	r.t.Helper()
	l, err := r.k.Dynamic.Resource(schema.GroupVersionResource{Group: "nephoran.com", Version: "v1", Resource: resource}).Namespace(r.namespace).List(r.t.Context(), listAll)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range l.Items {
		spec, _ := o.Object["spec"].(map[string]any)
		out = append(out, fmt.Sprintf("%s %v", o.GetName(), spec[field]))
	}
	return out
}

func (r *dataRig) patch(resource, name, manager, patch string) {
	r.t.Helper()
	_, err := r.k.Dynamic.Resource(schema.GroupVersionResource{Group: "nephoran.com", Version: "v1", Resource: resource}).Namespace(r.namespace).
		Patch(r.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		r.t.Fatal(err)
	}
}

// cli runs the program against the daemon's state directory.
func (r *dataRig) cli(args ...string) string {
	r.t.Helper()
	out, err := exec.Command(filepath.Join(bin, "changeover"), append(args, "--state-dir", r.State)...).CombinedOutput()
	if err != nil {
		r.t.Errorf("changeover %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// promoted goes forward: the intents are saved, one cannot be transformed, and the
// daemon is killed while it waits for that one. Mended, all are there.
func (r *dataRig) promoted() {
	r.t.Helper()
	r.Declare("converted")
	fails := func(p reconciler.Progress) bool { return p.Failed == 1 && p.Finished == r.n-1 }
	r.works("transforms", "NetworkIntent "+r.namespace+"/i07", fails)
	if st, err := r.Status(); err != nil || st.Effective.String() != "monolith" {
		r.t.Errorf("at %s, %v, while a source fails", st.Effective, err)
	}
	r.killed()
	r.works("transforms", "NetworkIntent "+r.namespace+"/i07", fails)
	if out := r.cli("status", "orders"); !strings.Contains(out, fmt.Sprintf("transforms: %d of %d sources transformed", r.n-1, r.n)) {
		r.t.Errorf("status says:\n%s", out)
	}
	r.patch("networkintents", "i07", "kubectl-edit", `{"spec": {"intent": "wish-7"}}`)
	r.at("converted")
	if got := r.names("intentprocessings", "intent"); len(got) != r.n || got[7] != "i07 wish-7" {
		r.t.Errorf("the targets are %v", got)
	}
	r.gate("whole", gates.Pass)
	r.killed() // what is known of the transform outlives the daemon
	r.gate("whole", gates.Pass)
	r.gate("fails", gates.Fail)
	if out := r.cli("backup", "list", r.namespace+"/orders"); strings.Count(out, "-converted-") != 1 {
		r.t.Errorf("the backups are:\n%s", out)
	}
}

func (r *dataRig) gate(name string, want gates.Verdict) {
	r.t.Helper()
	r.Await("gate "+name+" is "+string(want), patience*2, func(s reconciler.Status) bool {
		return slices.ContainsFunc(s.Gates, func(g gates.Result) bool { return g.Name == name && g.Verdict == want })
	})
}

// changed is what happens while the plan is at converted: a source is changed and one
// is deleted, and somebody goes on with a target.
func (r *dataRig) changed() {
	r.t.Helper()
	r.k.ApplyAs(r.t, "somebody", r.namespace, "{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: i01}, spec: {intent: other}}")
	r.k.Delete(r.t, "NetworkIntent.nephoran.com", r.namespace, "i02")
	r.patch("intentprocessings", "i03", "kubectl-edit", `{"spec": {"grown": true}}`)
}

// reverted takes the promotion back by a commit.
func (r *dataRig) reverted() {
	r.t.Helper()
	r.Pull()
	r.Git("revert", "--no-edit", "HEAD")
	r.Git("push", "-q", "origin", "HEAD:main")
	r.Await("it is at monolith", patience*2, func(s reconciler.Status) bool { return s.Effective.String() == "monolith" })
}

// onlyTheGrownOneIsLeft waits until the rollback has removed the targets, but the one
// that somebody changed.
func (r *dataRig) onlyTheGrownOneIsLeft() {
	r.t.Helper()
	kubetest.WaitFor(r.t, "the targets are removed", func() bool { return slices.Equal(r.names("intentprocessings", "grown"), []string{"i03 true"}) })
}

// A rollback removes what was made of the intents, and restores them from the backup.
// One cannot be restored as somebody holds a field of it: nothing is written until that
// is settled, the plan is back all the same, and a kill in between loses nothing.
func TestDataIsTakenBackAndRestored(t *testing.T) {
	r := newDataRig(t, "true", 20)
	before := r.names("networkintents", "intent")
	before[7] = "i07 <nil>" // as it was saved
	r.promoted()
	r.changed()
	r.reverted()
	held := func(p reconciler.Progress) bool { return p.Back }
	r.works("backup", "i01", held)
	r.killed()
	r.works("backup", "i01", held)
	r.onlyTheGrownOneIsLeft()
	if got := r.names("networkintents", "intent"); len(got) != r.n-1 || got[1] != "i01 other" {
		t.Errorf("while one cannot be restored the intents are %v", got)
	}
	if out := r.cli("status", "orders"); !strings.Contains(out, "backup, taken back: ") {
		t.Errorf("status says:\n%s", out)
	}
	// i07 has a field that it had not when it was saved.
	for _, name := range []string{"i01", "i07"} {
		r.k.Delete(t, "NetworkIntent.nephoran.com", r.namespace, name)
	}
	kubetest.WaitFor(t, "the intents are as they were", func() bool { return slices.Equal(r.names("networkintents", "intent"), before) })
	r.at("monolith")
	r.onlyTheGrownOneIsLeft()
	if out := r.cli("backup", "verify", r.namespace+"/orders"); !strings.Contains(out, fmt.Sprint(r.n)) {
		t.Errorf("the backup is kept: %s", out)
	}
}

// Without restore a rollback leaves the intents as they are by then, and keeps the
// backup.
func TestDataIsTakenBackAndTheBackupIsKept(t *testing.T) {
	r := newDataRig(t, "false", 20)
	r.promoted()
	r.changed()
	r.reverted()
	r.killed()
	r.onlyTheGrownOneIsLeft()
	r.at("monolith")
	got := r.names("networkintents", "intent")
	if len(got) != r.n-1 || got[1] != "i01 other" || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "i02") }) {
		t.Errorf("the intents are %v", got)
	}
	if out := r.cli("backup", "list", r.namespace+"/orders"); strings.Count(out, "-converted-") != 1 {
		t.Errorf("the backups are:\n%s", out)
	}
}
