package notify_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/notify"
)

func TestPagesStandOutInTheLog(t *testing.T) {
	var b bytes.Buffer
	n := notify.NewLog(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	e := reconciler.Entry{Verb: decide.Rollback, Reason: decide.Breach, From: plan.Position{Phase: "gradual", Percent: 25}, To: plan.Position{Phase: "gradual", Percent: 10}, Message: "high-errors", Commits: []plan.Revision{"abc"}}
	for page, level := range map[bool]string{true: "ERROR", false: "DEBUG"} {
		b.Reset()
		n.Notify(t.Context(), plan.Key{Namespace: "default", Name: "shop"}, e, page)
		var line map[string]any
		if err := json.Unmarshal(b.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", b.Bytes(), err)
		}
		for k, want := range map[string]string{"level": level, "plan": "default/shop", "from": "gradual@25", "to": "gradual@10", "reason": "Breach"} {
			if line[k] != want {
				t.Errorf("page %v: %s is %v, want %s", page, k, line[k], want)
			}
		}
	}
}
