package send_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
)

// inbox is a receiver that keeps what it got.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	answer func(n int) int // status of the nth request, from 0; nil: 200
}

type request struct {
	contentType, authorization string
	body                       []byte
}

func newInbox(t *testing.T, answer func(int) int) *inbox {
	t.Helper()
	in := &inbox{answer: answer}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		n := len(in.got)
		in.got = append(in.got, request{r.Header.Get("Content-Type"), r.Header.Get("Authorization"), b})
		in.mu.Unlock()
		if in.answer != nil {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(in.answer(n))
		}
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) requests() []request {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]request(nil), in.got...)
}

func breach(message string, commit plan.Revision) reconciler.Entry {
	return reconciler.Entry{
		At: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC), Verb: decide.Rollback, Reason: decide.Breach, Message: message,
		From: plan.Position{Phase: "gradual", Percent: 25}, To: plan.Position{Phase: "gradual", Percent: 10}, Commits: []plan.Revision{commit},
		Evidence: gates.Results{{Key: gates.Key{Effect: plan.Breaches, Name: "high"}, Values: map[string]float64{"errors": 0.05, "odd": math.NaN()}}},
	}
}

func TestAWebhookGetsCloudEventsAndEachAttemptIsTheSame(t *testing.T) {
	in := newInbox(t, func(n int) int { return []int{503, 429, 204}[min(n, 2)] })
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop := run(t, fast(&board{}, send.Receiver{Receiver: notice.Receiver{Name: "hook", Default: true}, Kind: send.Webhook, URL: in.URL, TokenFile: token}))
	s.Notify(t.Context(), shop, breach("errors are high", "abc"), true)
	await(t, "three attempts", func() bool { return len(in.requests()) == 3 })
	stop()
	rs := in.requests()
	if len(rs) != 3 || !bytes.Equal(rs[0].body, rs[2].body) || rs[0].contentType != "application/cloudevents+json" || rs[0].authorization != "Bearer s3cret" {
		t.Fatalf("%d requests; the first is %q %q", len(rs), rs[0].contentType, rs[0].body)
	}
	var e map[string]any
	if err := json.Unmarshal(rs[0].body, &e); err != nil {
		t.Fatal(err)
	}
	// The required attributes of the specification, and the optional ones that are sent.
	for name, want := range map[string]string{"specversion": "1.0", "source": "/changeover", "type": "dev.changeover.decided.v1", "subject": "default/shop", "time": "2026-11-28T09:00:00Z", "datacontenttype": "application/json"} {
		if e[name] != want {
			t.Errorf("%s is %v, want %s", name, e[name], want)
		}
	}
	data, _ := e["data"].(map[string]any)
	if id, _ := e["id"].(string); id == "" || data["severity"] != "P1" || data["from"] != "gradual@25" || fmt.Sprint(data["values"]) != "map[errors:0.05]" {
		t.Errorf("id %v, data %v", e["id"], data)
	}
}

func TestSlackGetsTextThatMeansNothingToIt(t *testing.T) {
	in := newInbox(t, nil)
	s, _ := run(t, fast(&board{}, send.Receiver{Receiver: notice.Receiver{Name: "slack", Default: true}, Kind: send.Slack, URL: in.URL}))
	s.Notify(t.Context(), shop, breach("<!channel> a & b", "abc"), true)
	await(t, "a message", func() bool { return len(in.requests()) == 1 })
	var m map[string]string
	if err := json.Unmarshal(in.requests()[0].body, &m); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[P1] default/shop: Rollback (Breach) from gradual@25 to gradual@10", "&lt;!channel&gt; a &amp; b", "errors = 0.05", "commit abc"} {
		if !strings.Contains(m["text"], want) {
			t.Errorf("want %q in\n%s", want, m["text"])
		}
	}
	if len(m) != 1 || strings.Contains(m["text"], "<!") {
		t.Errorf("got %v", m)
	}
}

func TestRefusalsAreNotTriedAgainAndRedirectsNotFollowed(t *testing.T) {
	for _, code := range []int{302, 400, 404} {
		in := newInbox(t, func(n int) int { return []int{code, 200}[min(n, 1)] })
		s, stop := run(t, fast(&board{}, send.Receiver{Receiver: notice.Receiver{Name: "hook", Default: true}, Kind: send.Webhook, URL: in.URL}))
		s.Notify(t.Context(), shop, breach("first", "a"), true)
		s.Notify(t.Context(), shop, breach("second", "b"), true)
		await(t, "the second", func() bool { return len(in.requests()) >= 2 })
		stop()
		if rs := in.requests(); len(rs) != 2 || !strings.Contains(string(rs[1].body), "second") {
			t.Errorf("%d: got %d requests, the last %s", code, len(rs), rs[len(rs)-1].body)
		}
	}
}

func TestTheSameIsToldOnceAndTheEndOfACondition(t *testing.T) {
	in := newInbox(t, nil)
	b := &board{}
	s, stop := run(t, fast(b, send.Receiver{Receiver: notice.Receiver{Name: "hook", Default: true}, Kind: send.Webhook, URL: in.URL}))
	halt := reconciler.Entry{At: time.Now(), Verb: decide.Halt, Reason: decide.VerifyFailed, Message: "slow: 3"}
	s.Notify(t.Context(), shop, halt, true)
	halt.At, halt.Message = time.Now(), "slow: 4"
	s.Notify(t.Context(), shop, halt, true)
	b.set(halted(time.Now()))
	b.seen(t)
	b.set(reconciler.Status{Key: shop, State: reconciler.StateSteady})
	await(t, "the end", func() bool { return len(in.requests()) == 2 })
	s.Notify(t.Context(), shop, halt, true) // anew, so it is told again
	await(t, "the next", func() bool { return len(in.requests()) == 3 })
	stop()
	if rs := in.requests(); !strings.Contains(string(rs[1].body), "dev.changeover.resolved.v1") || !strings.Contains(string(rs[2].body), "decided") || len(rs) != 3 {
		t.Errorf("got %s", rs)
	}
}

// TestSecretsAreInNoLogAndNoMetric sends to receivers that fail in every way that
// has the URL in Go's own error.
func TestSecretsAreInNoLogAndNoMetric(t *testing.T) {
	const hidden = "T0KEN"
	var log lockedBuffer
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in := newInbox(t, func(int) int { return 403 })
	hook := func(name, url, file string) send.Receiver {
		return send.Receiver{Receiver: notice.Receiver{Name: name, Default: true}, Kind: send.Slack, URL: url, URLFile: file, TokenFile: write(name+"-token", hidden)}
	}
	am := hook("am", "http://127.0.0.1:1/"+hidden, "")
	am.Kind = send.Alertmanager
	b := &board{}
	b.set(halted(time.Now()))
	o := fast(b, am, hook("refused", "http://127.0.0.1:1/"+hidden, ""), hook("answers", in.URL+"/"+hidden, ""), hook("file", "", write("url", "http://\x7f/"+hidden)),
		hook("scheme", "", write("scheme", "ftp://x/"+hidden)), hook("user", "", write("user", "http://"+hidden+"@127.0.0.1:1/")))
	reg := prometheus.NewRegistry()
	o.Log, o.Registerer, o.GiveUp = slog.New(slog.NewJSONHandler(&log, nil)), reg, 300*time.Millisecond
	s, stop := run(t, o)
	s.Notify(t.Context(), shop, breach("m", "a"), true)
	await(t, "all failed", func() bool {
		return strings.Count(log.String(), `"receiver":`) >= len(o.Receivers)
	})
	stop()
	metrics, err := testutil.CollectAndFormat(reg, expfmt.TypeTextPlain)
	if all := log.String() + string(metrics); err != nil || strings.Contains(all, hidden) {
		t.Errorf("the secret is in it (%v):\n%s", err, all)
	}
}

func TestAFullQueueDropsTheLeastUrgent(t *testing.T) {
	in := newInbox(t, nil)
	reg := prometheus.NewRegistry()
	o := fast(&board{}, send.Receiver{Receiver: notice.Receiver{Name: "hook", Default: true}, Kind: send.Webhook, URL: in.URL})
	o.Registerer = reg
	s, err := send.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Notify(t.Context(), shop, breach("urgent", "first"), true)
	for i := range 400 {
		e := breach("news", plan.Revision(fmt.Sprint(i)))
		e.Verb, e.Reason, e.Evidence = decide.Advance, decide.GatesPassed, nil
		s.Notify(t.Context(), shop, e, false)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP changeover_notifications_waiting Notifications that wait to be delivered.
# TYPE changeover_notifications_waiting gauge
changeover_notifications_waiting{receiver="hook"} 256
# HELP changeover_notifications_total Notifications by what became of them: sent, failed, or dropped as the queue was full. For an Alertmanager: alerts told, and attempts that failed.
# TYPE changeover_notifications_total counter
changeover_notifications_total{receiver="hook",result="dropped"} 145
changeover_notifications_total{receiver="hook",result="failed"} 0
changeover_notifications_total{receiver="hook",result="sent"} 0
`)); err != nil {
		t.Error(err)
	}
	ctx, cancel := contextWithPatience(t)
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	await(t, "what is left", func() bool { return len(in.requests()) == 256 })
	if rs := in.requests(); !strings.Contains(string(rs[0].body), "urgent") || !strings.Contains(string(rs[255].body), `"399"`) {
		t.Errorf("the urgent one or the newest was dropped: %s ... %s", rs[0].body, rs[255].body)
	}
}

func TestTemplatesAreTriedAndBounded(t *testing.T) {
	for name, text := range map[string]string{"syntax": "{{", "field": "{{.Nothing}}", "long": "{{range .Commits}}" + strings.Repeat("long text ", 1000) + "{{end}}"} {
		if _, err := send.ParseTemplate(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	tmpl, err := send.ParseTemplate("{{.Severity}} {{.Key}} {{.Message}}")
	if err != nil {
		t.Fatal(err)
	}
	in := newInbox(t, nil)
	s, _ := run(t, fast(&board{}, send.Receiver{Receiver: notice.Receiver{Name: "slack", Default: true}, Kind: send.Slack, URL: in.URL, Template: tmpl}))
	s.Notify(t.Context(), shop, breach(strings.Repeat("é", 10000), "a"), true)
	await(t, "a message", func() bool { return len(in.requests()) == 1 })
	var m map[string]string
	if err := json.Unmarshal(in.requests()[0].body, &m); err != nil || !strings.HasPrefix(m["text"], "P1 default/shop éé") || len(m["text"]) > 8<<10 || strings.Contains(m["text"], "\ufffd") {
		t.Errorf("%d bytes, %v: %.60s", len(m["text"]), err, m["text"])
	}
}
