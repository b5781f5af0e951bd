package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/webhook"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestAFloodOfWebhooksIsNothingButWakes: 1,000 deliveries a second of every
// kind, beside them bodies of 10 MB and senders that drip. Each is answered as
// its kind must be; what wakes leads to readings, of which there are few, and
// nothing else moves but by a commit. Afterwards the daemon is as large as it
// was.
func TestAFloodOfWebhooksIsNothingButWakes(t *testing.T) {
	h := newHooked(t)
	h.s.StartDaemon()
	h.s.Await("steady at setup", await, steadyAt("setup"))
	h.deliver(t)
	time.Sleep(2 * time.Second) // the last facts are written down
	idle, files, lines := h.size(t), h.files(t), h.lines()

	begun := time.Now()
	f := startFlood(t, h.hook, h.secret)
	time.Sleep(time.Second)
	warm := h.size(t)
	h.onlyReads(t, time.Duration(count(3, 35))*time.Second)
	if now := h.files(t); !slices.Equal(files, now) {
		t.Errorf("the flood changed what the daemon keeps:\nbefore\n%s\nafter\n%s", strings.Join(files, "\n"), strings.Join(now, "\n"))
	}
	f.hostile.Store(true)
	h.promotes(t)
	time.Sleep(time.Until(begun.Add(time.Duration(count(8, 60)) * time.Second)))
	end := h.size(t)
	tally := f.stop()
	h.check(t, tally, time.Since(begun), h.lines()[len(lines):])
	h.shrinks(t, idle, warm, end)
	h.connections(t, idle)
}

// hooked is a stack that is told of pushes by webhooks alone.
type hooked struct {
	*monorepo
}

func newHooked(t *testing.T) *hooked {
	t.Helper()
	h := &hooked{&monorepo{page: child.FreeAddr(t), hook: child.FreeAddr(t), secret: "0123456789abcdef0123456789abcdef"}}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(h.secret), 0o600); err != nil {
		t.Fatal(err)
	}
	h.s = stack.Start(t, stack.Options{Bin: bin, Gateway: "bridge", Plan: alarmPlan, Targets: []string{newProbe(t).addr}, Args: []string{
		"--git-interval", "1h", "--git-max-age", "2h", "--listen", h.page, "--hook-listen", h.hook, "--hook-secret-file", file,
	}})
	return h
}

// footprint is what the daemon takes of the machine.
type footprint struct{ mib, goroutines, descriptors int }

func (h *hooked) size(t *testing.T) footprint {
	t.Helper()
	f := h.handles(t)
	f.mib = h.anonymous(t)
	return f
}

// handles is a footprint without the memory.
func (h *hooked) handles(t *testing.T) footprint {
	t.Helper()
	goroutines, _ := h.metric(t, "go_goroutines")
	descriptors, _ := h.metric(t, "process_open_fds")
	return footprint{goroutines: int(goroutines), descriptors: int(descriptors)}
}

// files are the record, in which its serial is, and the history.
func (h *hooked) files(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, name := range []string{"record.json", "history.jsonl"} {
		b, err := os.ReadFile(filepath.Join(h.s.State, "plans", "default", "orders", name))
		if err != nil && (name == "record.json" || !os.IsNotExist(err)) {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func (h *hooked) lines() []string { return strings.SplitAfter(h.s.DaemonLog(), "\n") }

func (h *hooked) polls(t *testing.T) int {
	t.Helper()
	_, n := h.metric(t, "changeover_git_operations_seconds")
	return int(n)
}

// onlyReads watches the daemon while true deliveries are in the flood: it reads
// the branch, no more often than it allows itself, and that is all.
func (h *hooked) onlyReads(t *testing.T, during time.Duration) {
	t.Helper()
	was, err := h.s.Status()
	if err != nil {
		t.Fatal(err)
	}
	begun, before := time.Now(), h.polls(t)
	for time.Since(begun) < during {
		time.Sleep(250 * time.Millisecond)
		now, err := h.s.Status()
		if err != nil {
			t.Fatal(err)
		}
		if now.Head != was.Head || now.Declared != was.Declared || now.Effective != was.Effective || now.State != was.State || now.Applied != was.Applied {
			t.Fatalf("the flood moved the plan from %s at %s (%s) to %s at %s (%s)", was.State, was.Effective, was.Head, now.State, now.Effective, now.Head)
		}
	}
	n := h.polls(t) - before
	took := time.Since(begun)
	t.Logf("%d readings of the branch in %s of true deliveries", n, took.Round(100*time.Millisecond))
	// One every half second, three at once, and one that was under way.
	if most := int(took/(500*time.Millisecond)) + 4; n == 0 || n > most {
		t.Errorf("the flood made %d readings in %s, want 1 to %d", n, took, most)
	}
}

// promotes makes a commit while nothing in the flood may wake, and tells of it.
func (h *hooked) promotes(t *testing.T) {
	t.Helper()
	before := -1
	h.await(t, "the end of the last true deliveries' readings", func() bool {
		was := before
		before = h.polls(t)
		time.Sleep(1200 * time.Millisecond) // more than a reading is put off
		return was == before
	})
	h.s.Declare("gradual@10")
	time.Sleep(1500 * time.Millisecond)
	if n := h.polls(t) - before; n != 0 {
		t.Errorf("deliveries that do not concern the branch or do not show the secret made %d readings", n)
	}
	begun := time.Now()
	h.deliver(t)
	h.await(t, "the promotion", func() bool { p, _ := h.metric(t, "changeover_effective_percent"); return p == 10 })
	t.Logf("in the flood a promotion is in force %s after its delivery", time.Since(begun).Round(time.Millisecond))
	h.s.Await("steady at 10 %", await, steadyAt("gradual@10"))
	l := startLoad(t, h.s)
	h.await(t, "all callers", func() bool { return l.Seen() == 300 })
	on, tally := len(l.On("modern")), l.Stop()
	if on < 10 || on > 60 || len(tally.Failed) > 0 {
		t.Errorf("modern serves %d of 300 callers at 10 %%; %s", on, tally)
	}
}

// check holds what came of the flood against what must come of it.
func (h *hooked) check(t *testing.T, got *tally, took time.Duration, log []string) {
	t.Helper()
	rate := float64(got.answered) / got.took.Seconds()
	t.Logf("%.0f deliveries a second for %s\n%s", rate, got.took.Round(100*time.Millisecond), got)
	if accept() && rate < 1000 {
		t.Errorf("%.0f deliveries a second were sent, want 1,000", rate)
	}
	for _, e := range got.wrong {
		t.Error(e)
	}
	for _, name := range got.missing() {
		t.Errorf("no delivery of the kind %q was answered", name)
	}
	// One line a reason and minute, and what the promotion says.
	refusals := 0
	for _, l := range log {
		if strings.Contains(l, "a delivery to the webhook is refused") {
			refusals++
		}
	}
	t.Logf("%d lines of the log, %d of refusals", len(log), refusals)
	if most := 3 * (1 + int(took/time.Minute)); refusals == 0 || refusals > most || len(log) > refusals+30 {
		t.Errorf("%d lines of the log of which %d tell of refusals, want 1 to %d and 30 others:\n%.4000s", len(log), refusals, most, strings.Join(log, ""))
	}
	if strings.Contains(h.s.DaemonLog(), h.secret) {
		t.Error("the log has the secret")
	}
}

// shrinks checks that nothing of the flood stays behind.
func (h *hooked) shrinks(t *testing.T, idle, warm, end footprint) {
	t.Helper()
	h.settles(t, idle)
	now := h.size(t)
	t.Logf("idle %+v, flooded for a second %+v, at the end %+v, afterwards %+v", idle, warm, end, now)
	// A second has seen every kind and both large bodies. What is alive is
	// what some hundred connections need and a body or two of 1 MiB, and the
	// collector lets a heap be twice what is alive: 20 MiB are room for that.
	// In the long run they are 350 bytes a delivery.
	for when, f := range map[string]footprint{"the end": end, "afterwards": now} {
		if f.mib > warm.mib+20 {
			t.Errorf("%d MiB of memory after a second, %d at %s", warm.mib, f.mib, when)
		}
	}
}

// settles waits until goroutines and descriptors are what they were, but for the
// daemon's own connections to the gateway and to Prometheus.
func (h *hooked) settles(t *testing.T, idle footprint) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		now := h.handles(t)
		if now.goroutines <= idle.goroutines+8 && now.descriptors <= idle.descriptors+4 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v did not go back to %+v", now, idle)
		}
	}
}

// connections opens more than are taken. The daemon keeps descriptors for other
// things, and who waits gets a turn.
func (h *hooked) connections(t *testing.T, idle footprint) {
	t.Helper()
	var all []net.Conn
	for range webhook.MaxConnections + 200 {
		c, err := net.Dial("tcp", h.hook)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	time.Sleep(500 * time.Millisecond)
	n := h.handles(t)
	if n.descriptors < idle.descriptors+webhook.MaxConnections/2 || n.descriptors > idle.descriptors+webhook.MaxConnections+10 {
		t.Errorf("%d connections take %d descriptors beside %d", len(all), n.descriptors-idle.descriptors, idle.descriptors)
	}
	begun := time.Now()
	http.DefaultClient.CloseIdleConnections()
	h.deliver(t)
	t.Logf("with %d idle connections before it a delivery is answered after %s", len(all), time.Since(begun).Round(100*time.Millisecond))
	for _, c := range all {
		_ = c.Close()
	}
	h.settles(t, idle)
}
