package backup_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestAllIsDeletedAndRestored(t *testing.T) {
	r := setup(t)
	n := amount(10_000, 600) // more than a page
	r.fill(n)
	before := r.live()
	begun := time.Now()
	m := r.created(r.of())
	t.Logf("backup of %d objects: %s, %d bytes", m.Objects, time.Since(begun).Round(time.Millisecond), m.Bytes)
	if m.Objects != n || len(before) != n {
		t.Fatalf("%d objects of %d are in the backup", m.Objects, len(before))
	}
	r.counts(r.restore(m), "Unchanged "+itoa(n))
	r.empty()
	r.counts(r.restore(m, func(o *backup.Restoration) { o.DryRun = true }), "WouldRestore "+itoa(n))
	if left := r.live(); len(left) > 0 {
		t.Fatalf("a dry run made %d objects", len(left))
	}
	begun = time.Now()
	r.counts(r.restore(m), "Restored "+itoa(n))
	t.Logf("restore of %d objects: %s", n, time.Since(begun).Round(time.Millisecond))
	if after := r.live(); !maps.Equal(before, after) {
		t.Errorf("%d objects came back, not as they were", len(after))
	}
}

func TestARestoreThatEndedEarlyGoesOn(t *testing.T) {
	r := setup(t)
	r.fill(20)
	before := r.live()
	m := r.created(r.of())
	for name := range before {
		if name > "intent-00011" {
			r.k.Delete(t, "NetworkIntent.backup.example.com", r.ns, name)
		}
	}
	kubetest.WaitFor(t, "some are gone", func() bool { return len(r.live()) == 12 })
	r.counts(r.restore(m), "Unchanged 12, Restored 8")
	if !maps.Equal(before, r.live()) {
		t.Error("the objects are not as they were")
	}
}

// damage writes a file anew.
func (r *rig) damage(m backup.Manifest, name string, edit func([]byte) []byte) {
	r.Helper()
	b, err := os.ReadFile(r.file(m, name))
	r.must(err)
	r.must(os.WriteFile(r.file(m, name), edit(bytes.Clone(b)), 0o600))
}

func flip(b []byte) []byte { b[len(b)/2] ^= 4; return b }

func TestDamageIsToldObjectByObject(t *testing.T) { onDiskAndInS3(t, damageIsTold) }

func damageIsTold(t *testing.T, r *rig) {
	r.fill(250) // three groups
	m := r.created(r.of())
	r.counts(r.verify(m), "Intact 250")
	for name, c := range map[string]struct {
		edit   func(backup.Manifest)
		counts string
		says   string
		fault  string
	}{
		"a flipped bit": {func(m backup.Manifest) { r.damage(m, "objects.jsonl.gz", flip) }, "Intact 150, Damaged 100", "are not what was written", ""},
		"a file cut off": {func(m backup.Manifest) {
			r.damage(m, "objects.jsonl.gz", func(b []byte) []byte { return b[:len(b)-10] })
		}, "Intact 200, Damaged 50", "ends before it", ""},
		"no objects":      {func(m backup.Manifest) { r.must(os.Remove(r.file(m, "objects.jsonl.gz"))) }, "Damaged 250", "objects.jsonl.gz is not there", ""},
		"no index":        {func(m backup.Manifest) { r.must(os.Remove(r.file(m, "index.jsonl.gz"))) }, "Intact 250", "", "index.jsonl.gz is not there"},
		"a flipped index": {func(m backup.Manifest) { r.damage(m, "index.jsonl.gz", flip) }, "Intact 250", "", "index.jsonl.gz is damaged"},
	} {
		m := r.created(r.of())
		c.edit(m)
		report := r.verify(m)
		r.counts(report, c.counts)
		if report.OK() || report.Bad() != len(report.Items) {
			t.Errorf("%s: %d objects are bad, %d are told", name, report.Bad(), len(report.Items))
		}
		for _, i := range report.Items {
			if !strings.Contains(i.Message, c.says) || i.Name == "" || i.Namespace != r.ns {
				t.Errorf("%s: %s: %s", name, i.ID, i.Message)
			}
		}
		if !strings.Contains(strings.Join(report.Faults, "\n"), c.fault) || (c.fault == "") != (len(report.Faults) == 0) {
			t.Errorf("%s: faults %q", name, report.Faults)
		}
		if got := r.restore(m); got.OK() || got.Counts[backup.Done] > 0 {
			t.Errorf("%s: it was restored: %s", name, got.Summary())
		}
	}
	r.damage(m, "backup.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"objects": 250`), []byte(`"objects": 240`), 1) })
	if _, err := r.store.Load(t.Context(), r.plan, m.Name); err == nil || !strings.Contains(err.Error(), "backup.json is damaged") {
		t.Errorf("a manifest that was changed: %v", err)
	}
}

func TestWhatIsWholeIsRestoredWhereItIsAskedFor(t *testing.T) {
	r := setup(t)
	r.fill(250)
	m := r.created(r.of())
	r.damage(m, "objects.jsonl.gz", flip)
	r.empty()
	r.counts(r.restore(m), "NotTried 150, Damaged 100")
	if n := len(r.live()); n > 0 {
		t.Errorf("%d objects were written, though others are damaged", n)
	}
	report := r.restore(m, func(o *backup.Restoration) { o.Partial = true })
	r.counts(report, "Restored 150, Damaged 100")
	if n := len(r.live()); n != 150 {
		t.Errorf("%d objects are there, want 150", n)
	}
}

func TestAConflictNamesTheOtherManager(t *testing.T) {
	r := setup(t)
	r.fill(3)
	before := r.live()
	m := r.created(r.of())
	r.k.ApplyAs(t, "somebody", r.ns, "{apiVersion: backup.example.com/v1, kind: NetworkIntent, metadata: {name: intent-00001}, spec: {intent: other, more: 1}}")
	r.k.Delete(t, "NetworkIntent.backup.example.com", r.ns, "intent-00002")
	kubetest.WaitFor(t, "one is gone", func() bool { return len(r.live()) == 2 })
	report := r.restore(m)
	r.counts(report, "Unchanged 1, NotTried 1, Failed 1")
	if i := report.Items[0]; i.Name != "intent-00001" || !strings.Contains(i.Message, `"somebody"`) || !strings.Contains(i.Message, ".spec.intent") || !strings.Contains(i.Message, "--force-conflicts") {
		t.Errorf("got %v", i)
	}
	report = r.restore(m, func(o *backup.Restoration) { o.Partial = true })
	r.counts(report, "Unchanged 1, Restored 1, Failed 1")
	diff, err := backup.Diff(t.Context(), r.c, r.store, m, nil, nil)
	r.must(err)
	r.counts(diff, "Unchanged 2, Changed 1")
	if why := diff.Items[0].Message; why != "spec.intent, spec.more (the backup does not have it)" {
		t.Errorf("got %q", why)
	}
	report = r.restore(m, func(o *backup.Restoration) { o.Force = true })
	r.counts(report, "Unchanged 2, Restored 1")
	if !maps.Equal(before, r.live()) {
		t.Error("the objects are not as they were")
	}
}

func TestSecretsAreEncrypted(t *testing.T) {
	r := setup(t)
	mine, err := age.GenerateX25519Identity()
	r.must(err)
	other, err := age.GenerateX25519Identity()
	r.must(err)
	r.k.Apply(t, r.ns, "{apiVersion: v1, kind: Secret, metadata: {name: pass}, stringData: {password: swordfish-in-clear}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: word}, stringData: {a: b}}")
	secrets := plan.BackupKind{APIVersion: "v1", Kind: "Secret", Namespace: r.ns}
	if _, err := r.create(r.of(secrets)); err == nil || !strings.Contains(err.Error(), "only saved encrypted") {
		t.Errorf("Secrets without recipients: %v", err)
	}
	b := r.of(secrets)
	b.IncludeSecrets, b.Recipients = true, []string{mine.Recipient().String()}
	m := r.created(b)
	files, err := filepath.Glob(r.file(m, "*"))
	r.must(err)
	for _, f := range files {
		src, err := os.ReadFile(f)
		r.must(err)
		for _, secret := range []string{"swordfish", "c3dvcmRmaXNo"} {
			if bytes.Contains(unpacked(src), []byte(secret)) {
				t.Errorf("%s has the Secret in clear", f)
			}
		}
	}
	r.counts(r.verify(m), "Sealed 2")
	r.counts(r.verify(m, mine), "Intact 2")
	r.counts(r.verify(m, other), "Damaged 2")
	r.k.Delete(t, "Secret", r.ns, "pass")
	kubetest.WaitFor(t, "it is gone", func() bool { return r.k.Lookup(t, "Secret", r.ns, "pass") == nil })
	r.counts(r.restore(m), "Failed 2")
	r.counts(r.restore(m, func(o *backup.Restoration) { o.Identities = []age.Identity{mine} }), "Unchanged 1, Restored 1")
	data, _ := r.k.Get(t, "Secret", r.ns, "pass").Object["data"].(map[string]any)
	if data["password"] != "c3dvcmRmaXNoLWluLWNsZWFy" {
		t.Error("the Secret is not as it was")
	}
	r.damage(m, "secrets.jsonl.gz.age", flip)
	report := r.verify(m)
	r.counts(report, "Damaged 2")
	if report.Items[0].Name != "pass" {
		t.Errorf("got %v", report.Items[0])
	}
}

func TestNamespacesAndDefinitionsComeFirst(t *testing.T) {
	r := setup(t)
	ns := r.ns + "-own"
	definition := strings.ReplaceAll(intents, "networkintent", "owngadget")
	definition = strings.ReplaceAll(strings.ReplaceAll(definition, "NetworkIntent", "OwnGadget"), "backup.example.com", "own.example.com")
	r.k.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+", labels: {own: \"yes\"}}}\n---\n"+definition)
	parent := r.k.Apply(t, ns, "{apiVersion: own.example.com/v1, kind: OwnGadget, metadata: {name: z-parent}, spec: {a: 1}}")[0]
	r.k.Apply(t, ns, "{apiVersion: own.example.com/v1, kind: OwnGadget, metadata: {name: a-child, ownerReferences: [{apiVersion: own.example.com/v1, kind: OwnGadget, name: z-parent, uid: "+string(parent.GetUID())+"}]}, spec: {b: 2}}")
	b := plan.Backup{Include: []plan.BackupKind{
		{APIVersion: "own.example.com/v1", Kind: "OwnGadget"},
		{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		{APIVersion: "v1", Kind: "Namespace", Selector: "own=yes"},
	}}
	m := r.created(b)
	r.k.Delete(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "owngadgets.own.example.com")
	r.k.Delete(t, "Namespace", "", ns)
	kubetest.WaitFor(t, "all is gone", func() bool {
		return r.k.Lookup(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "owngadgets.own.example.com") == nil && r.k.Lookup(t, "Namespace", "", ns) == nil
	})
	r.c = r.client(nil)
	report := r.restore(m)
	if !report.OK() || report.Counts[backup.Done] != 4 {
		t.Fatal(report.Summary())
	}
	child, owner := r.k.Get(t, "OwnGadget.own.example.com", ns, "a-child"), r.k.Get(t, "OwnGadget.own.example.com", ns, "z-parent")
	if refs := child.GetOwnerReferences(); len(refs) != 1 || refs[0].UID != owner.GetUID() {
		t.Errorf("the child's owner is %v, want %s", refs, owner.GetUID())
	}
}
