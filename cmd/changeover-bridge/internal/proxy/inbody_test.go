package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// TestABodyNamesAnEntity: its owner gets the request, with the whole body, and no
// write comes between a hand-over.
func TestABodyNamesAnEntity(t *testing.T) {
	o := &owners{of: map[string]plan.Side{"l": plan.Legacy, "m": plan.Modern}, blocked: "b"}
	serve := func(name string) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, name+" got "+string(body))
		}).URL
	}
	legacy, modern := serve("legacy"), serve("modern")
	f := newFixture(t, legacy, modern, proxy.Options{Owners: o})
	c := configOf(t, legacy, modern, bridge.Rule{Match: &plan.Match{PathPrefix: "/heal"}, To: plan.ToOwner}, bridge.Rule{To: plan.ToModern})
	c.Entities = &bridge.Entities{
		Paths: []string{"/orders/{id}"},
		Bodies: []plan.EntityBody{
			{Methods: []string{"POST"}, Path: "/heal", ID: "body.order.id"}, {Methods: []string{"POST"}, Path: "/orders/x", ID: "body.order.id"},
			{Methods: []string{"PUT"}, Path: "/scale/", ID: "body.id"},
		},
	}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	f.serve(c)
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"POST", "/heal", `{"order":{"id":"m"}}`, 200, "modern"},
		{"POST", "/heal/", `{"order":{"id":"m"}}`, 200, "modern"},
		{"POST", "/heal", `{"order":{"id":"l"}}`, 200, "legacy"},
		{"POST", "/heal", `{"order":{"id":"unheard of"}}`, 200, "legacy"},
		{"POST", "/heal", `{}`, 200, "legacy"},
		{"POST", "/heal", ``, 200, "legacy"},
		{"POST", "/heal/all", `{"order":{"id":"m"}}`, 200, "legacy"}, // another path
		{"PUT", "/heal", `{"order":{"id":"m"}}`, 200, "legacy"},      // another method
		{"PUT", "/scale", `{"id":"l"}`, 200, "legacy"},               // though the route says modern
		{"PUT", "/scale", `{"id":"unheard of"}`, 200, "modern"},
		{"POST", "/orders/x", `{"order":{"id":"m"}}`, 200, "modern"}, // by its route: the path names x
		{"POST", "/heal", `{"order":{"id":"b"}}`, 503, "handed over just now"},
		{"POST", "/heal", `{"order":{"id":"m"}`, 400, "no JSON"},
		{"POST", "/heal", `{"order":{"id":"m","ID":"l"}}`, 400, "twice"},
		{"POST", "/heal", `{"order":{"id":"` + strings.Repeat("m", 1<<20) + `"}}`, 413, "1048576 bytes"},
	} {
		code, answer := call(t, c.method, f.url+c.path, c.body)
		if want := c.want + " got " + c.body; code != c.code || code == 200 && answer != want || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s %.40s: %d %.80s, want %d %s", c.method, c.path, c.body, code, answer, c.code, c.want)
		}
	}
	if w := o.written(); !slices.Contains(w, "begin m") || !slices.Contains(w, "end m true") {
		t.Errorf("the writes were %v", w)
	}
	req, err := http.NewRequest("POST", f.url+"/heal", bytes.NewReader([]byte("\x1f\x8b")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a body that is compressed is answered %d", res.StatusCode)
	}
}
