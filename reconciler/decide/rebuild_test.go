package decide

import (
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// At a stop that was entered backward old evidence does not count: a record that
// was lost must remember that, or what was rolled back for is rolled back for
// again.
func TestARebuiltRecordKnowsThatTheStopWasEnteredBackward(t *testing.T) {
	it := plan.Itinerary{{Phase: "setup"}, {Phase: "gradual", Percent: 10}, {Phase: "gradual", Percent: 25}}
	at := time.Unix(1000, 0)
	raise := func(rev plan.Revision, from, to int) Change {
		return Change{Commit: rev, From: it[from], To: it[to], Raise: true}
	}
	add := Change{Commit: "r1", To: it[0], Raise: true, Content: true, Live: true}
	up := []Change{add, raise("r2", 0, 1), raise("r3", 1, 2)}
	back := Change{Commit: "r4", Parent: "r3", From: it[2], To: it[1], Lower: true, RollbackOf: "r3"}
	for _, c := range []struct {
		name    string
		changes []Change
		stop    plan.Position
		holds   []plan.Revision
		want    bool
	}{
		{"raised to it", up[:2], it[1], nil, false},
		{"rolled back, the revert is on the branch", append(up[:3:3], back), it[1], nil, true},
		{"rolled back, the revert is on its way", up, it[1], []plan.Revision{"r3"}, true},
		{"lowered by a person", append(up[:3:3], Change{Commit: "r4", From: it[2], To: it[1], Lower: true}), it[1], nil, true},
		{"content changed since it was lowered", append(up[:3:3], back, Change{Commit: "r5", From: it[1], To: it[1], Content: true}), it[1], nil, true},
	} {
		r := Rebuild(it, plan.Version{Revision: "r2"}, c.stop, at, c.holds, "head", c.changes)
		if r.Applied.Backward != c.want {
			t.Errorf("%s: backward is %v, want %v", c.name, r.Applied.Backward, c.want)
		}
	}
}
