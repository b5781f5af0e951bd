package app

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

const callers = 100

// load sends requests at a steady rate until stopped, and keeps what failed
// and whether a caller ever came back from modern.
type load struct {
	url  string
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	sent     map[string]int // by kind
	failures []string
	modern   map[string]bool
	left     []string // callers that left modern
}

// run sends one kind of request some 60 times a second, where the machine can.
func (l *load) run(method string, keepAlive bool) {
	kind := fmt.Sprintf("%s keep-alive=%v", method, keepAlive)
	tr := &http.Transport{DisableKeepAlives: !keepAlive}
	defer tr.CloseIdleConnections()
	tick := time.NewTicker(16 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		tenant := fmt.Sprint("tenant-", i%callers)
		l.mu.Lock()
		moved := l.modern[tenant] // before this one was sent; others are under way
		l.mu.Unlock()
		side, err := request(tr, method, l.url, tenant)
		l.note(kind, tenant, side, moved, err)
	}
}

// request sends one, without any retry, and checks the whole answer.
func request(tr *http.Transport, method, url, tenant string) (side string, err error) {
	var body []byte
	if method == "POST" {
		body = bytes.Repeat([]byte(tenant+" "), 500)
	}
	// A reader that is no bytes.Reader: the client's transport cannot rewind it.
	var reader io.Reader
	if body != nil {
		reader = io.MultiReader(bytes.NewReader(body))
	}
	r, err := http.NewRequest(method, url, reader)
	if err != nil {
		return "", err
	}
	r.Header.Set("X-Tenant", tenant)
	res, err := tr.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	side = res.Header.Get("X-Changeover-Side")
	switch {
	case err != nil:
		return "", err
	case res.StatusCode != 200:
		return "", fmt.Errorf("status %d: %s", res.StatusCode, got)
	case !bytes.Equal(got, body):
		return "", fmt.Errorf("%d bytes came back of %d", len(got), len(body))
	case side == "" || side != res.Header.Get("X-Backend"):
		return "", fmt.Errorf("side %q but backend %q", side, res.Header.Get("X-Backend"))
	}
	return side, nil
}

func (l *load) note(kind, tenant, side string, moved bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[kind]++
	switch {
	case err != nil:
		l.failures = append(l.failures, kind+": "+err.Error())
	case side == string(plan.Modern):
		l.modern[tenant] = true
	case moved:
		l.left = append(l.left, tenant)
	}
}

// awaitMore lets requests meet the config that is served now.
func (l *load) awaitMore(t testing.TB, n int) {
	t.Helper()
	total := func() (sum int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range l.sent {
			sum += n
		}
		return sum
	}
	for want, deadline := total()+n, time.Now().Add(10*time.Second); total() < want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the load came to a halt")
		}
	}
}

// While the share rises, no request fails and no caller comes back.
func TestReloadsUnderLoadDropNothing(t *testing.T) {
	reloads := 51
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		reloads = 102
	}
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 10))
	p := start(t, "--config", file)
	l := &load{url: p.traffic + "/x", stop: make(chan struct{}), sent: map[string]int{}, modern: map[string]bool{}}
	for _, method := range []string{"GET", "POST"} {
		for _, keepAlive := range []bool{false, true} {
			l.wg.Go(func() { l.run(method, keepAlive) })
		}
	}
	shares := map[plan.Percent]int{}
	began := time.Now()
	for i := 1; i <= reloads; i++ {
		percent := []plan.Percent{10, 25, 50}[(i-1)*3/reloads]
		c := render(t, planOf(legacy, modern, i), percent)
		write(t, file, c)
		p.awaitVersion(c.Hash)
		l.awaitMore(t, 20)
		l.mu.Lock()
		shares[percent] = len(l.modern)
		l.mu.Unlock()
	}
	close(l.stop)
	l.wg.Wait()
	took := time.Since(began)

	total := 0
	for _, n := range l.sent {
		total += n
	}
	t.Logf("%d requests in %s (%.0f/s) over %d reloads: %v; callers seen on modern %v", total, took.Round(time.Millisecond), float64(total)/took.Seconds(), reloads, l.sent, shares)
	if len(l.failures) > 0 {
		t.Errorf("%d failed requests: %s", len(l.failures), strings.Join(l.failures[:min(5, len(l.failures))], "; "))
	}
	if len(l.left) > 0 {
		t.Errorf("callers %v left modern while the share rose", l.left)
	}
	if len(l.sent) != 4 {
		t.Errorf("sent %v, want four kinds of requests", l.sent)
	}
	if !(shares[10] < shares[25] && shares[25] < shares[50]) {
		t.Errorf("callers on modern %v, want more at every stop", shares)
	}
}
