package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates/lint"
)

func TestFlagsThatNobodyHasAndThatExpireAreTold(t *testing.T) {
	doc := valid(t, "testdata/flags.bad.yaml")
	tell := func(now time.Time) (out []string) {
		for _, p := range lint.CheckAt(doc, nil, now) {
			out = append(out, p.Code+" "+p.Message+" / "+p.Hint)
		}
		return out
	}
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	want := []string{
		`flag-never-on nobody has flag "nobody" at any stop / `, `flag-never-on nobody has flag "needs" at any stop, as nobody has "nobody", which it needs / `,
		`flag-never-on nobody has flag "second" at any stop, as "first" comes first, with which it conflicts / `,
		`flag-expires flag "ended" has expired on 2026-11-28T12:00:00Z: everybody is on legacy then / ann answers for it: `,
		`flag-expires flag "ends" expires on 2026-12-28T11:59:59Z: everybody is on legacy then / remove the flag`,
	}
	got := tell(now)
	if len(got) != len(want) {
		t.Fatalf("got %d findings, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("finding %d is\n%s\nnot\n%s", i, got[i], want[i])
		}
	}
	if got := tell(time.Time{}); len(got) != 3 {
		t.Errorf("where the time is not known:\n%s", strings.Join(got, "\n"))
	}
}
