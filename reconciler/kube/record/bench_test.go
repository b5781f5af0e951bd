package record

import (
	"encoding/json"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// BenchmarkSave saves the record of a plan with a full history: 100 changes,
// two holds with evidence, twenty entries.
func BenchmarkSave(b *testing.B) {
	k := install(b)
	key := plan.Key{Namespace: k.Namespace(b), Name: "onap-so"}
	d := startWith(b, k.Config, open(b, b.TempDir()))
	must(b, d.SaveStatus(b.Context(), steady(b, key)))
	for n := range maxHistory {
		must(b, d.Append(b.Context(), key, entry(n)))
	}
	rec := large(100, 2, 300)
	must(b, d.Save(b.Context(), key, rec))
	b.Run("journal and cluster", func(b *testing.B) {
		for b.Loop() {
			rec.Serial++
			must(b, d.Save(b.Context(), key, rec))
		}
	})
	b.Run("journal", func(b *testing.B) {
		for b.Loop() {
			rec.Serial++
			must(b, d.o.Inner.Save(b.Context(), key, rec))
		}
	})
	u := k.Get(b, "MigrationPlan.changeover.dev", key.Namespace, key.Name)
	whole, err := json.Marshal(u)
	must(b, err)
	status, err := json.Marshal(u.Object["status"])
	must(b, err)
	b.Logf("object %d bytes, status %d, record %d", len(whole), len(status), len(d.object(key).record))
	must(b, d.Save(b.Context(), key, decide.Record{Serial: rec.Serial + 1}))
}
