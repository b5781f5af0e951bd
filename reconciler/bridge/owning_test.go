package bridge_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/bridge"
	render "github.com/changeover-dev/changeover/render/bridge"
)

func TestWhetherModernOwnsAnythingIsAskedOfEveryReplica(t *testing.T) {
	tells := func(owns *bool) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != render.FactsPath("so") {
				t.Errorf("it asks for %s", r.URL.Path)
			}
			_ = json.NewEncoder(w).Encode(render.Facts{ModernOwns: owns})
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	some, none, unknown := tells(new(true)), tells(new(false)), tells(nil)
	dead := httptest.NewServer(nil)
	dead.Close()
	for _, c := range []struct {
		name string
		urls []string
		owns bool
		err  string
	}{
		{"none", []string{none, none}, false, ""},
		{"one knows of some", []string{none, some}, true, ""},
		{"one knows of some, another is gone", []string{dead.URL, some}, true, ""},
		{"one does not know", []string{none, unknown}, false, unknown + " does not know the owners yet"},
		{"one is gone", []string{none, dead.URL}, false, dead.URL + " cannot be reached"},
	} {
		g, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "b.json")), Replicas: bridge.URLs(c.urls)})
		if err != nil {
			t.Fatal(err)
		}
		owns, err := g.ModernOwns(t.Context(), planOf("so"))
		if owns != c.owns || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v", c.name, owns, err)
		}
	}
}
