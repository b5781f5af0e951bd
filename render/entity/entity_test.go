package entity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/entity"
)

// statusMap is that of the ONAP document.
var statusMap = map[string]map[string]string{"status": {
	"Active": "COMPLETED", "Assigned": "PENDING", "Created": "IN_PROGRESS", "PendingDelete": "DELETING", "InventoryFailed": "FAILED",
}}

type obj = map[string]any

func compile(t *testing.T, edit func(*plan.Entities)) *entity.Program {
	t.Helper()
	e := &plan.Entities{
		Source: &plan.Inventory{HTTP: &plan.HTTPInventory{URL: "http://legacy/", Items: "body.items", Next: "body.?next"}}, ID: "item.id", Values: statusMap,
	}
	edit(e)
	p, err := entity.Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIDsAreThoseThatAPathCanHave(t *testing.T) {
	p := compile(t, func(*plan.Entities) {})
	for _, c := range []struct {
		item obj
		id   string // "": refused
	}{
		{obj{"id": "a"}, "a"}, {obj{"id": int64(7)}, "7"}, {obj{"id": uint64(18446744073709551615)}, "18446744073709551615"},
		{obj{"id": ""}, ""}, {obj{"id": "a/b"}, ""}, {obj{"id": ".."}, ""}, {obj{"id": nil}, ""}, {obj{"id": 1.5}, ""},
		{obj{"id": []any{"a"}}, ""}, {obj{}, ""}, {obj{"id": strings.Repeat("x", plan.MaxEntityID+1)}, ""},
	} {
		got, err := p.Legacy.ID(t.Context(), c.item)
		if got != c.id || (err == nil) != (c.id != "") {
			t.Errorf("%v has the id %q, error %v; want %q", c.item, got, err, c.id)
		}
	}
}

func TestRanksAreInTheirOrder(t *testing.T) {
	p := compile(t, func(e *plan.Entities) { e.Order = "item.at" })
	times := compile(t, func(e *plan.Entities) { e.Order = "timestamp(item.at)" })
	for _, c := range []struct {
		p    *entity.Program
		a, b any
		want int
	}{
		{p, int64(9), int64(10), -1}, {p, int64(10), 9.5, 1}, {p, uint64(3), int64(3), 0}, {p, "9", "10", 1}, {p, "a", "a", 0},
		{times, "2026-01-01T00:00:00+02:00", "2025-12-31T22:30:00Z", -1}, {times, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0},
	} {
		a, err := c.p.Rank(t.Context(), obj{"at": c.a})
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.p.Rank(t.Context(), obj{"at": c.b})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Compare(b); got != c.want || b.Compare(a) != -c.want {
			t.Errorf("%v to %v is %d and back %d, want %d", c.a, c.b, got, b.Compare(a), c.want)
		}
	}
	for _, bad := range []any{nil, true, obj{}} {
		if _, err := p.Rank(t.Context(), obj{"at": bad}); err == nil {
			t.Errorf("%v has a rank", bad)
		}
	}
	if r, err := compile(t, func(*plan.Entities) {}).Rank(t.Context(), obj{}); err != nil || r.Compare(entity.Rank{}) != 0 {
		t.Errorf("without an order the rank is %+v, error %v", r, err)
	}
}

func TestWhatIsNotSaidHasADefault(t *testing.T) {
	p := compile(t, func(*plan.Entities) {})
	live, err := p.Legacy.Live(t.Context(), obj{"id": "a"})
	if err != nil || !live {
		t.Errorf("a listed item is live: %v, error %v", live, err)
	}
	busy, err := p.InFlight(t.Context(), obj{"id": "a"})
	if err != nil || busy {
		t.Errorf("an item is in flight: %v, error %v", busy, err)
	}
	q := compile(t, func(e *plan.Entities) { e.Live, e.InFlight = `item.s != "Deleted"`, `item.s == "Created"` })
	if live, err := q.Legacy.Live(t.Context(), obj{"s": "Deleted"}); err != nil || live {
		t.Errorf("a deleted item is live: %v, error %v", live, err)
	}
	if busy, err := q.InFlight(t.Context(), obj{"s": "Created"}); err != nil || !busy {
		t.Errorf("a created item is in flight: %v, error %v", busy, err)
	}
	if _, err := q.InFlight(t.Context(), obj{}); err == nil {
		t.Error("an item without the field is taken for one that is not in flight")
	}
}

func TestAWordThatNoMapHoldsIsAMismatch(t *testing.T) {
	p := compile(t, func(e *plan.Entities) {
		e.Modern = &plan.ModernInventory{ID: "item.id", Source: plan.Inventory{Kubernetes: &plan.KubernetesInventory{APIVersion: "v1", Kind: "Pod"}}}
		e.Verify = &plan.EntityVerify{Equal: []string{"legacy.name == modern.name", "values.status[legacy.state] == modern.status"}}
	})
	for legacy, modern := range statusMap["status"] {
		if m := p.Compare(t.Context(), "a", obj{"name": "n", "state": legacy}, obj{"name": "n", "status": modern}); m != nil {
			t.Errorf("%s and %s differ: %v", legacy, modern, m)
		}
	}
	for _, c := range []struct {
		legacy, modern any
		want           []entity.Mismatch
	}{
		{obj{"name": "n", "state": "Active"}, obj{"name": "m", "status": "COMPLETED"}, []entity.Mismatch{{Expr: "legacy.name == modern.name", Why: "it is false"}}},
		{obj{"name": "n", "state": "Active"}, obj{"name": "n", "status": "FAILED"}, []entity.Mismatch{{Expr: "values.status[legacy.state] == modern.status", Why: "it is false"}}},
		{obj{"name": "n", "state": "Odd"}, obj{"name": "n", "status": "FAILED"}, []entity.Mismatch{
			{Expr: "values.status[legacy.state] == modern.status", Why: `"Odd" is not there: no object or map of values that it reads has it`}}},
		{obj{"name": "n", "state": "Active"}, nil, []entity.Mismatch{
			{Expr: "legacy.name == modern.name", Why: `"name" is not there: no object or map of values that it reads has it`},
			{Expr: "values.status[legacy.state] == modern.status", Why: `"status" is not there: no object or map of values that it reads has it`}}},
	} {
		if d := cmp.Diff(c.want, p.Compare(t.Context(), "a", c.legacy, c.modern)); d != "" {
			t.Errorf("%v and %v (-want +got):\n%s", c.legacy, c.modern, d)
		}
	}
}

func TestACallIsBuiltForAnEntity(t *testing.T) {
	p := compile(t, func(e *plan.Entities) {
		e.HandOver = []plan.EntityStep{
			{HTTP: plan.HTTPCall{Method: "PUT", URL: "'http://modern/deployments/' + escape(id)", Headers: map[string]string{"X-Name": "item.name"}, Body: `{"status": values.status[item.state], "n": item.n}`}},
			{HTTP: plan.HTTPCall{Method: "POST", URL: "'http://modern/' + id", Body: `"text " + item.name`}},
		}
	})
	item := obj{"name": "vFW", "state": "Active", "n": int64(9007199254740993)}
	got, err := p.HandOver[0].Build(t.Context(), "a b?c#d", item)
	want := entity.Request{
		Method: "PUT", URL: "http://modern/deployments/a%20b%3Fc%23d", Header: []entity.Field{{Name: "X-Name", Value: "vFW"}, {Name: "Content-Type", Value: "application/json"}},
		Body: []byte(`{"n":9007199254740993,"status":"COMPLETED"}`),
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("the call (-want +got), error %v:\n%s", err, d)
	}
	if got, err := p.HandOver[1].Build(t.Context(), "a", item); err != nil || string(got.Body) != "text vFW" || got.Header != nil {
		t.Errorf("a text is sent as it is: %+v, error %v", got, err)
	}
	for name, c := range map[string]struct {
		step int
		id   string
		item obj
	}{
		"unknown word": {0, "a", obj{"name": "n", "state": "Odd", "n": int64(1)}}, "no field": {0, "a", obj{}},
		"newline in a header": {0, "a", obj{"name": "n\r\nX: y", "state": "Active", "n": int64(1)}},
		"blank in the URL":    {1, "a b", item}, "up in the URL": {1, "..", item},
	} {
		var f *entity.Failure
		if got, err := p.HandOver[c.step].Build(t.Context(), c.id, c.item); !errors.As(err, &f) || !strings.HasPrefix(f.Path, "handOver[") {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}
