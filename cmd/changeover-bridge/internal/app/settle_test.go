package app

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/owner"
)

// TestABridgeVouchesForNoWritesOfAnother: not while it is replaced, while it
// replaces one, and right after its start.
func TestABridgeVouchesForNoWritesOfAnother(t *testing.T) {
	old := time.Now().Add(-owner.UnsureFor - time.Second)
	replaced := &Bridge{started: old}
	replaced.replaced.Store(true)
	for want, b := range map[string]*Bridge{
		"":                           {started: old},
		"it has just started":        {started: time.Now()},
		"another bridge takes":       replaced,
		"the bridge before it still": {started: time.Now(), parent: os.Getppid(), o: Options{inherit: true}},
		" ":                          {started: time.Now(), parent: -1, o: Options{inherit: true}},
	} {
		if got := b.unsettled(); want != " " && !strings.HasPrefix(got, want) || (strings.TrimSpace(want) == "") != (got == "") {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

func TestSettleAnswers(t *testing.T) {
	dir := t.TempDir()
	keeper, err := Ownership{URL: filepath.Join(dir, "owners.db"), Spool: filepath.Join(dir, "spool")}.open(prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	old := time.Now().Add(-time.Hour)
	knows, young, none := &Bridge{started: old, owners: keeper}, &Bridge{started: time.Now(), owners: keeper}, &Bridge{started: old}
	for _, c := range []struct {
		b     *Bridge
		query string
		code  int
		words string
	}{
		{knows, "", 400, "want ?id="},
		{knows, "id=a&revision=x", 400, "want ?id="},
		{knows, "id=a&revision=0", 409, "no plan's owners are followed"},
		{young, "id=a&revision=0", 409, "just started"},
		{none, "id=a&revision=0", 409, "it knows no owners"},
	} {
		w := httptest.NewRecorder()
		c.b.settle(w, httptest.NewRequest("GET", "/_changeover/so/settle?"+c.query, nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%q is answered %d %q, want %d %q", c.query, w.Code, w.Body, c.code, c.words)
		}
	}
}
