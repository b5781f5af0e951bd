package workload

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// SideHeader is how the gateway names the side that answered.
const SideHeader = "X-Changeover-Side"

// Options of a workload.
type Options struct {
	URL     string // of the orders at the gateway
	Header  string // that names the caller
	Callers int
	Rate    int           // requests a second, over all callers
	Timeout time.Duration // of one request
}

// Workload sends requests until it is stopped. One in four is a POST.
type Workload struct {
	Ledger *Ledger
	opts   Options
	client *http.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// workers bounds the requests under way; at 200 a second a worker is free even
// when answers take a quarter of a second.
const workers = 50

// Name of a caller, as the gateway sees it.
func Name(caller int) string { return fmt.Sprintf("shopper-%03d", caller) }

// Start begins to send. Requests are not retried.
func Start(o Options) *Workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workload{
		Ledger: NewLedger(o.Callers), opts: o, cancel: cancel,
		client: &http.Client{Timeout: o.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	}
	turns := make(chan int)
	w.wg.Go(func() { w.pace(ctx, turns) })
	for range workers {
		w.wg.Go(func() {
			for n := range turns {
				w.Ledger.Add(w.ask(n))
			}
		})
	}
	return w
}

// Stop ends the stream and waits for the answers under way.
func (w *Workload) Stop() {
	w.cancel()
	w.wg.Wait()
	w.client.CloseIdleConnections()
}

// Round waits until every caller was answered once more and tells who was on
// modern then.
func (w *Workload) Round(ctx context.Context) (Split, error) {
	from := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s, ok := w.Ledger.Since(from); ok {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return Split{}, fmt.Errorf("measure the split: not every caller was answered: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// pace hands out the turns evenly. What a stall delays is not made up for.
func (w *Workload) pace(ctx context.Context, turns chan<- int) {
	defer close(turns)
	tick := time.NewTicker(time.Second / time.Duration(w.opts.Rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return
		case turns <- n:
		}
	}
}

// ask sends one request. It is bounded by the client's timeout: Stop lets what
// is under way end, so that it is not counted as failed.
func (w *Workload) ask(n int) Answer {
	caller, round := n%w.opts.Callers, n/w.opts.Callers
	a := Answer{Caller: caller, Method: http.MethodGet, Begun: time.Now()}
	var body io.Reader
	// Every caller reads and writes in turn.
	if (caller+round)%4 == 0 {
		a.Method, body = http.MethodPost, strings.NewReader(`{"item": "tea", "count": 1}`)
	}
	req, err := http.NewRequestWithContext(context.Background(), a.Method, w.opts.URL, body)
	if err != nil {
		a.Err = err
		return a
	}
	req.Header.Set(w.opts.Header, Name(caller))
	resp, err := w.client.Do(req)
	if err != nil {
		a.Err = err
		return a
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		a.Err = err
		return a
	}
	a.Side, a.Code = plan.Side(resp.Header.Get(SideHeader)), resp.StatusCode
	return a
}
