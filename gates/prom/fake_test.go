package prom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
)

// fake answers the API by a function, and counts.
type fake struct {
	*httptest.Server
	asked atomic.Int64
	open  atomic.Int64
	most  atomic.Int64
}

func serve(t *testing.T, answer http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		n := f.open.Add(1)
		defer f.open.Add(-1)
		for m := f.most.Load(); n > m && !f.most.CompareAndSwap(m, n); m = f.most.Load() {
		}
		answer(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func vector(values ...string) string {
	var items []string
	for i, v := range values {
		items = append(items, fmt.Sprintf(`{"metric":{"__name__":"x","n":"%d"},"value":[0,%q]}`, i, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(items, ",") + `]}}`
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// always42 is a need that asks one query: nothing in it can be stale.
var always42 = gates.Need{Query: "vector(42)", MaxAge: time.Minute}

func TestOddReplies(t *testing.T) {
	long := strings.Repeat("é", 5000)
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		err     string
		unknown string
	}{
		{"a value", text(200, vector("42")), "", ""},
		{"with warnings", text(200, strings.Replace(vector("42"), "{", `{"warnings":["slow"],"infos":["x"],`, 1)), "", ""},
		{"a scalar", text(200, `{"status":"success","data":{"resultType":"scalar","result":[0,"42"]}}`), "", ""},
		{"no series", text(200, vector()), "", "no series"},
		{"NaN", text(200, vector("NaN")), "", "NaN"},
		{"infinite", text(200, vector("+Inf")), "", "infinite"},
		{"two series", text(200, vector("1", "2")), `query Prometheus: the query answers with 2 series, want 1: x{n="0"} and x{n="1"}; aggregate them, for example with sum(...)`, ""},
		{"a string", text(200, `{"status":"success","data":{"resultType":"string","result":[0,"x"]}}`), "query Prometheus: the query answers with a string, want one number", ""},
		{"a range", text(200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`), "query Prometheus: the query answers with a matrix, want one number", ""},
		{"a histogram", text(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"histogram":[0,{"count":"1","sum":"1","buckets":[]}]}]}}`), `query Prometheus: the query answers with a histogram, want one number: {a="b"}`, ""},
		{"500", text(500, "<html>oops"), "query Prometheus: it answered 500 Internal Server Error", ""},
		{"503 in the words of Prometheus", text(503, `{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}`), "query Prometheus: it answered 503: timeout: query timed out in expression evaluation", ""},
		{"400 in the words of Prometheus", text(400, `{"status":"error","errorType":"bad_data","error":"parse error\nhere"}`), "query Prometheus: it answered 400: bad_data: parse error here", ""},
		{"an endless message", text(422, `{"status":"error","errorType":"execution","error":"`+long+`"}`), "query Prometheus: it answered 422: execution: " + long[:2*(300-len("it answered 422: execution: "))] + "...", ""},
		{"404", text(404, "not here"), "query Prometheus: it answered 404 Not Found", ""},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "query Prometheus: it answered 302 Found; redirects are not followed", ""},
		{"no content", text(204, ""), "query Prometheus: it answered 204 No Content", ""},
		{"garbage", text(200, "<html>login"), "query Prometheus: the answer is not that of a Prometheus: check the URL", ""},
		{"other JSON", text(200, `{"hello":1}`), "query Prometheus: the answer is not that of a Prometheus: check the URL", ""},
		{"an empty body", text(200, ""), "query Prometheus: the answer is not that of a Prometheus: check the URL", ""},
		{"half a body", text(200, vector("42")[:60]), "query Prometheus: the answer is not that of a Prometheus: check the URL", ""},
		{"a malformed value", text(200, vector("many")), "query Prometheus: decode the answer: ", ""},
		{"a huge body", text(200, vector(strings.Repeat("1", 2<<20))), "query Prometheus: the answer is larger than 1048576 bytes", ""},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "query Prometheus: EOF", ""},
		{"a slow answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "query Prometheus: no answer within 500ms", ""},
		{"a slow body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, vector("42")[:20])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "query Prometheus: no answer within 500ms", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client leave
				tc.handler(w, r)
			})
			timeout := time.Minute // the machine may be busy
			if strings.Contains(tc.err, "no answer within 500ms") {
				timeout = 500 * time.Millisecond
			}
			c := newClient(t, prom.Options{URL: f.URL, Timeout: timeout, MaxBytes: 1 << 20})
			got := sampleOne(t, c, always42, past)
			msg := ""
			if got.Err != nil {
				msg = got.Err.Error()
			}
			if msg != tc.err && (tc.err == "" || !strings.HasPrefix(msg, tc.err) || !strings.HasSuffix(tc.err, ": ")) {
				t.Errorf("error %q, want %q", msg, tc.err)
			}
			if got.Err == nil && (got.Last.Unknown != tc.unknown || tc.unknown == "" && got.Last.Value != 42) {
				t.Errorf("got %+v, want unknown %q", got.Last, tc.unknown)
			}
			if !got.Last.Time.Equal(past) {
				t.Errorf("the time is %s, want %s", got.Last.Time, past)
			}
		})
	}
}

func TestQueriesOfOneTickAreAskedOnce(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(w, vector("42"))
	})
	c := newClient(t, prom.Options{URL: f.URL})
	counted := always42
	counted.SamplesQuery, counted.SamplesMin = "vector(400)", 10
	needs := []gates.Need{always42, counted}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for n, s := range c.Sample(t.Context(), needs, past.Add(time.Duration(i)*40*time.Millisecond)) {
				if s.Err != nil || s.Last.Value != 42 {
					t.Errorf("%v: %+v, error %v", n, s.Last, s.Err)
				}
			}
		})
	}
	wg.Wait()
	c.Sample(t.Context(), needs, past.Add(999*time.Millisecond))
	if n := f.asked.Load(); n != 2 {
		t.Errorf("two queries were asked %d times", n)
	}
	c.Sample(t.Context(), needs, past.Add(time.Second))
	if n := f.asked.Load(); n != 4 {
		t.Errorf("two queries of two ticks were asked %d times", n)
	}
}

func TestFewQueriesAreUnderWayAtOnce(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, vector("1"))
	})
	c := newClient(t, prom.Options{URL: f.URL, Concurrency: 3})
	var needs []gates.Need
	for i := range 30 {
		needs = append(needs, gates.Need{Query: fmt.Sprintf("vector(%d)", i), MaxAge: time.Minute})
	}
	for n, s := range c.Sample(t.Context(), needs, past) {
		if s.Err != nil {
			t.Errorf("%s: %v", n.Query, s.Err)
		}
	}
	if m := f.most.Load(); m != 3 {
		t.Errorf("%d queries were under way at once, want 3", m)
	}
}

func TestSampleEndsWithItsContext(t *testing.T) {
	hang := atomic.Bool{}
	hang.Store(true)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if hang.Load() {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, vector("42"))
	})
	c := newClient(t, prom.Options{URL: f.URL, Concurrency: 1, Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	needs := []gates.Need{always42, {Query: "vector(2)", MaxAge: time.Minute}, {Query: "vector(3)", MaxAge: time.Minute}}
	began := time.Now()
	for n, s := range c.Sample(ctx, needs, past) {
		if s.Err == nil || s.Err.Error() != "query Prometheus: no answer before the evaluation's deadline" {
			t.Errorf("%s: error %v", n.Query, s.Err)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s, want about 100ms", took)
	}
	// Neither the query under way nor those in the queue hold up the next.
	hang.Store(false)
	if s := sampleOne(t, c, always42, past); s.Err != nil || s.Last.Value != 42 {
		t.Errorf("the next got %+v, error %v", s.Last, s.Err)
	}
	for deadline := time.Now().Add(10 * time.Second); f.open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a query that nobody waits for is still under way")
		}
	}
}

func TestOneWhoLeavesDoesNotCancelTheOthers(t *testing.T) {
	release := make(chan struct{})
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = io.WriteString(w, vector("42"))
	})
	c := newClient(t, prom.Options{URL: f.URL})
	short, cancel := context.WithCancel(t.Context())
	first := make(chan gates.Sample)
	go func() { first <- c.Sample(short, []gates.Need{always42}, past)[always42] }()
	for f.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	second := make(chan gates.Sample)
	go func() { second <- c.Sample(t.Context(), []gates.Need{always42}, past)[always42] }()
	time.Sleep(50 * time.Millisecond)
	cancel()
	if s := <-first; s.Err == nil || s.Err.Error() != "query Prometheus: the evaluation was cut off" {
		t.Errorf("the one who left got error %v", s.Err)
	}
	close(release)
	if s := <-second; s.Err != nil || s.Last.Value != 42 {
		t.Errorf("the one who stayed got %+v, error %v", s.Last, s.Err)
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestPasswordIsSentButNeverShown(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		text(403, fmt.Sprintf(`{"status":"error","errorType":"forbidden","error":"%s:%s may not"}`, user, password))(w, r)
	})
	withUser := strings.Replace(f.URL, "http://", "http://operator:hunter2@", 1)
	c := newClient(t, prom.Options{URL: withUser, Timeout: time.Second})
	got := sampleOne(t, c, always42, past)
	if got.Err == nil || got.Err.Error() != "query Prometheus: it answered 403: forbidden: operator:*** may not" {
		t.Errorf("error %v", got.Err)
	}
	f.Close()
	got = sampleOne(t, c, always42, past.Add(time.Hour))
	if got.Err == nil || strings.Contains(got.Err.Error(), "hunter2") || strings.Contains(got.Err.Error(), "operator") {
		t.Errorf("error %v", got.Err)
	}
	for _, bad := range []string{"http://operator:hunter2@%zz", "operator:hunter2@host", "ftp://operator:hunter2@host", "", "http://"} {
		if _, err := prom.New(prom.Options{URL: bad}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func TestRequestSaysWhatIsAsked(t *testing.T) {
	var mu sync.Mutex
	var got []string
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		got = append(got, r.Method+" "+r.URL.Path+" "+r.PostForm.Encode())
		mu.Unlock()
		text(200, vector("1"))(w, r)
	})
	c := newClient(t, prom.Options{URL: f.URL + "/prefix/", Timeout: 2 * time.Second, Tick: time.Millisecond})
	n := always42
	n.Window, n.Step = time.Minute, 15*time.Second
	sampleOne(t, c, n, past.Add(1500*time.Millisecond))
	want := map[string]bool{
		"POST /prefix/api/v1/query query=vector%2842%29&time=1709294401.5&timeout=2":                                 true,
		"POST /prefix/api/v1/query_range end=1709294401.5&query=vector%2842%29&start=1709294356.5&step=15&timeout=2": true,
	}
	for _, g := range got {
		if !want[g] {
			t.Errorf("asked %s", g)
		}
		delete(want, g)
	}
	if len(want) > 0 {
		t.Errorf("did not ask %v", want)
	}
}

func TestOwnTransportIsUsedWithoutRedirects(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
	})
	seen := 0
	given := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		seen++
		return http.DefaultTransport.RoundTrip(r)
	})}
	c := newClient(t, prom.Options{URL: f.URL, HTTP: given})
	if got := sampleOne(t, c, always42, past); got.Err == nil || seen != 1 {
		t.Errorf("error %v after %d requests", got.Err, seen)
	}
	if given.CheckRedirect != nil {
		t.Error("the client that was given was changed")
	}
	c = newClient(t, prom.Options{URL: f.URL, HTTP: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("bad\nnews")
	})}})
	if got := sampleOne(t, c, always42, past); got.Err == nil || got.Err.Error() != "query Prometheus: bad news" {
		t.Errorf("error %v", got.Err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
