package route_test

import (
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
)

// TestIDIn: an id is never guessed. What two readers of a body may understand in
// different ways is an error, and not legacy's.
func TestIDIn(t *testing.T) {
	for _, c := range []struct {
		body, id string
		fails    bool
	}{
		{body: `{"order": {"id": "a1"}}`, id: "a1"},
		{body: ` {"x": [{"id": 1}], "order": {"ids": 2, "id": 17}, "y": null} `, id: "17"},
		{body: `{"order": {"id": 12345678901234567890}}`, id: "12345678901234567890"},
		{body: `{"order": {"id": "\u0061"}}`, id: "a"},
		{body: ""}, {body: " \n"},
		{body: `{}`}, {body: `[]`}, {body: `"order"`}, {body: `null`}, {body: `7`},
		{body: `{"order": "id"}`}, {body: `{"order": ["id"]}`}, {body: `{"order": {}}`}, {body: `{"order": null}`}, {body: `{"order": {"id": null}}`},
		{body: `{"Order": {"id": "a"}}`},
		{body: `{"order": {"id": "a"}, "order": {}}`, fails: true},
		{body: `{"order": {"id": "a", "ID": "b"}}`, fails: true},
		{body: `{"order": {"ID": "b", "id": "a"}}`, fails: true},
		{body: `{"order": {"id": "a"}} {}`, fails: true},
		{body: `{"order": {"id": "a"}`, fails: true},
		{body: `<order id="a"/>`, fails: true},
		{body: `{"order": {"id": true}}`, fails: true},
		{body: `{"order": {"id": {}}}`, fails: true},
		{body: `{"order": {"id": ""}}`, fails: true},
		{body: `{"order": {"id": "a/b"}}`, fails: true},
		{body: `{"order": {"id": ".."}}`, fails: true},
	} {
		id, err := route.IDIn([]byte(c.body), []string{"order", "id"})
		if id != c.id || (err != nil) != c.fails {
			t.Errorf("%s: %q, error %v", c.body, id, err)
		}
	}
}

func FuzzIDIn(f *testing.F) {
	f.Add([]byte(`{"order": {"id": "a1", "ids": [{}]}}`))
	f.Add([]byte(`{"order": {"id": 1, "ID": 2}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if id, err := route.IDIn(body, []string{"order", "id"}); err != nil && id != "" {
			t.Errorf("the id %q, and error %v", id, err)
		}
	})
}
