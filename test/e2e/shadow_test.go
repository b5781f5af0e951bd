package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// served is how many requests a backend has answered.
func served(t *testing.T, b *stack.Backend) (n int) {
	t.Helper()
	resp, err := http.Get(b.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^requests_total\{.*\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		k, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// TestAShadowIsSeenByModernAlone: in the phase shadow modern gets a copy of every
// GET and of no POST, callers are answered by legacy, and that modern is broken is
// nothing to them.
func TestAShadowIsSeenByModernAlone(t *testing.T) {
	shadowed := strings.Replace(ordersPlan, "    - name: gradual\n", "    - name: shadow\n      routes: [{to: legacy, mirror: {}}]\n    - name: gradual\n", 1)
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "bridge", Plan: shadowed})
	s.StartDaemon()
	s.Await("steady at setup", await, steadyAt("setup"))
	l := load.Start(t.Context(), load.Options{Addr: s.Addr, Path: "/orders", Header: "X-User", Callers: 50, Rate: 200})
	t.Cleanup(func() { l.Stop() })
	time.Sleep(time.Second)
	if n := served(t, s.Modern); n != 0 {
		t.Errorf("before its phase modern got %d requests", n)
	}
	s.Declare("shadow")
	s.Await("steady at shadow", await, steadyAt("shadow"))
	asked, copies := -l.Tally().Requests, -served(t, s.Modern)
	time.Sleep(2 * time.Second)
	s.Modern.Break(100)
	time.Sleep(2 * time.Second)
	total := l.Stop()
	time.Sleep(time.Second) // for the last copies
	asked, copies = asked+total.Requests, copies+served(t, s.Modern)
	t.Logf("%s; modern got %d copies of %d requests", total, copies, asked)
	if len(total.Failed) > 0 || total.Sides["modern"] > 0 {
		t.Errorf("callers noticed: %s", total)
	}
	if asked < 100 || copies < asked*4/10 || copies > asked*6/10 { // half of the load is GET
		t.Errorf("modern got %d copies of %d requests", copies, asked)
	}
}
