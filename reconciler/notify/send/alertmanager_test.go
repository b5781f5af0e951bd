package send_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
	"github.com/changeover-dev/changeover/test/promtest"
)

var shop = plan.Key{Namespace: "default", Name: "shop"}

// patience is generous: two cores may run many tests at once.
const patience = 90 * time.Second

// board holds the statuses that a sender reads.
type board struct {
	mu    sync.Mutex
	all   []reconciler.Status
	looks int // how often it was read
}

func (b *board) set(all ...reconciler.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
}

func (b *board) statuses() []reconciler.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	return b.all
}

// seen waits until the sender has looked at what is set now. Of two looks from now
// on, the first has been dealt with when the second begins.
func (b *board) seen(t *testing.T) {
	t.Helper()
	count := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.looks
	}
	from := count()
	await(t, "the sender looks", func() bool { return count() >= from+2 })
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func fast(b *board, rs ...send.Receiver) send.Options {
	return send.Options{
		Receivers: rs, Statuses: b.statuses, Now: time.Now, Log: quiet(),
		Interval: 20 * time.Millisecond, Refresh: 200 * time.Millisecond, RetryFirst: 20 * time.Millisecond, RetryMost: 100 * time.Millisecond,
	}
}

// run runs a sender until the function that it returns is called.
func run(t *testing.T, o send.Options) (*send.Sender, func()) {
	t.Helper()
	s, err := send.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, what)
}

// delivered are the webhooks that Alertmanager sent on.
type delivered struct {
	mu  sync.Mutex
	all []string // status and name
}

func (d *delivered) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range body.Alerts {
		d.all = append(d.all, a.Status+" "+a.Labels["alertname"]+" "+a.Labels["severity"])
	}
}

func (d *delivered) count(what string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.all {
		if s == what {
			n++
		}
	}
	return n
}

func active(t *testing.T, url string) (names []string) {
	t.Helper()
	resp, err := http.Get(url + "/api/v2/alerts?active=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		names = append(names, a.Labels["alertname"]+" "+a.Labels["plan"])
	}
	return names
}

// received is how many firing alerts an Alertmanager counts that it was told of.
func received(t *testing.T, url string) float64 {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families["alertmanager_alerts_received_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "status" && l.GetValue() == "firing" {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func halted(at time.Time) reconciler.Status {
	return reconciler.Status{Key: shop, State: reconciler.StateHalted, Halt: &decide.HaltOf{Reason: decide.VerifyFailed, Message: "verify: slow", At: at}}
}

// TestAlertmanagerIsToldOnceAndResolved runs the real one: an alert that is told
// again and again, and by a second daemon after a restart, is one notification.
func TestAlertmanagerIsToldOnceAndResolved(t *testing.T) {
	got := &delivered{}
	hook := httptest.NewServer(got)
	t.Cleanup(hook.Close)
	url := promtest.StartAlertmanager(t, `route: {receiver: hook, group_by: [alertname, plan], group_wait: 50ms, group_interval: 100ms, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: "`+hook.URL+`", send_resolved: true}]
`)
	b := &board{}
	r := send.Receiver{Receiver: notice.Receiver{Name: "am", Default: true}, Kind: send.Alertmanager, URL: url}
	o := fast(b, r)
	o.Refresh = time.Second // an alert expires after five of them
	_, stop := run(t, o)
	at := time.Now()
	b.set(halted(at))
	await(t, "the alert is delivered", func() bool { return got.count("firing ChangeoverHalted P1") == 1 })
	stop()
	_, stop = run(t, o) // a restart
	await(t, "the alert is active", func() bool { return len(active(t, url)) == 1 })
	from := received(t, url)
	await(t, "it is told several times more", func() bool { return received(t, url) >= from+3 })
	if n := got.count("firing ChangeoverHalted P1"); n != 1 {
		t.Errorf("one alert was delivered %d times", n)
	}
	b.set(reconciler.Status{Key: shop, State: reconciler.StateSteady})
	await(t, "it is resolved", func() bool { return got.count("resolved ChangeoverHalted P1") == 1 && len(active(t, url)) == 0 })
	stop()
}

// TestAnAlertThatEndsWhileAlertmanagerIsAwayIsResolvedLater also shows that the
// state is told, not a queue of what it was.
func TestAnAlertThatEndsWhileAlertmanagerIsAwayIsResolvedLater(t *testing.T) {
	var mu sync.Mutex
	down, refused := false, 0
	ends := map[string]time.Time{} // by name, as last told
	am := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var all []struct {
			Labels map[string]string `json:"labels"`
			EndsAt time.Time         `json:"endsAt"`
		}
		_ = json.NewDecoder(r.Body).Decode(&all)
		for _, a := range all {
			ends[a.Labels["alertname"]] = a.EndsAt
		}
	}))
	t.Cleanup(am.Close)
	told := func(name string) (time.Time, bool) {
		mu.Lock()
		defer mu.Unlock()
		at, ok := ends[name]
		return at, ok
	}
	b := &board{}
	o := fast(b, send.Receiver{Receiver: notice.Receiver{Name: "am", Default: true}, Kind: send.Alertmanager, URL: am.URL + "/"})
	o.Refresh = time.Hour // it does not expire meanwhile
	run(t, o)
	b.set(halted(time.Now()))
	await(t, "told", func() bool { _, ok := told("ChangeoverHalted"); return ok })
	mu.Lock()
	down = true
	mu.Unlock()
	b.set(reconciler.Status{Key: shop, State: reconciler.StateOrphaned})
	await(t, "it is refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused >= 2
	})
	mu.Lock()
	down = false
	mu.Unlock()
	await(t, "the new one is told, and the old one is over", func() bool {
		old, _ := told("ChangeoverHalted")
		now, ok := told("ChangeoverOrphaned")
		return ok && now.After(time.Now()) && !old.After(time.Now())
	})
}
