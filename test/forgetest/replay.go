package forgetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Exchange is a request and its answer.
type Exchange struct {
	What, Request string // Request is METHOD PATH?QUERY
	Headers       [][2]string
	Body          string
	Code          int // 0: the server hangs up
	Answers       [][2]string
	Answer        string
	Large         int // bytes to answer in place of Answer
}

// Load reads a recording.
func Load(t testing.TB, file string) []Exchange {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []Exchange
	for i, text := range strings.Split("\n"+string(b), "\n=== ") {
		if i == 0 {
			continue // comments before the first
		}
		x, err := parse(text)
		if err != nil {
			t.Fatalf("%s: exchange %d: %v", file, i, err)
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		t.Fatalf("%s: no exchanges", file)
	}
	return out
}

func parse(text string) (x Exchange, err error) {
	request, answer, ok := strings.Cut(text, "\n---\n")
	what, request, ok2 := strings.Cut(request, "\n")
	if !ok || !ok2 {
		return x, fmt.Errorf("%q: want a request, a line ---, and an answer", what)
	}
	x.What = what
	x.Request, x.Headers, x.Body = part(request)
	var code string
	code, x.Answers, x.Answer = part(answer)
	if n, large := strings.CutPrefix(code, "large "); large {
		x.Code = http.StatusOK
		x.Large, err = strconv.Atoi(n)
	} else if code != "hang up" {
		x.Code, err = strconv.Atoi(code)
	}
	return x, err
}

// part splits a first line, headers and a body.
func part(text string) (first string, headers [][2]string, body string) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ": ")
		headers = append(headers, [2]string{k, v})
	}
	return lines[0], headers, strings.TrimSpace(body)
}

// Replay answers as recorded, each exchange once and in order.
type Replay struct {
	*httptest.Server
	t     testing.TB
	token string

	mu   sync.Mutex
	left []Exchange
}

// Serve starts a server that fails the test on a request that is not the next
// one of the recording, and at its end on what was not asked.
func Serve(t testing.TB, token string, xs []Exchange) *Replay {
	t.Helper()
	r := &Replay{t: t, token: token, left: xs}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.Close()
		for _, x := range r.left {
			t.Errorf("never asked: %s (%s)", x.Request, x.What)
		}
	})
	return r
}

// ServeHTTP implements http.Handler.
func (r *Replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	got := q.Method + " " + q.URL.RequestURI()
	r.mu.Lock()
	if len(r.left) == 0 {
		r.mu.Unlock()
		r.t.Errorf("after the recording's end it is asked: %s %s", got, body)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	x := r.left[0]
	if got != x.Request {
		r.mu.Unlock()
		r.t.Errorf("it is asked\n%s\nwant\n%s (%s)", got, x.Request, x.What)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	r.left = r.left[1:]
	r.mu.Unlock()
	for _, h := range x.Headers {
		if want := r.fill(h[1]); q.Header.Get(h[0]) != want {
			r.t.Errorf("%s: header %s is %q, want %q", got, h[0], q.Header.Get(h[0]), want)
		}
	}
	if !sameJSON(body, []byte(x.Body)) {
		r.t.Errorf("%s: the body is\n%s\nwant\n%s", got, body, x.Body)
	}
	r.answer(w, x)
}

func (r *Replay) answer(w http.ResponseWriter, x Exchange) {
	if x.Code == 0 {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
		return
	}
	for _, h := range x.Answers {
		w.Header().Set(h[0], r.fill(h[1]))
	}
	w.WriteHeader(x.Code)
	if x.Large > 0 {
		_, _ = w.Write(bytes.Repeat([]byte(" "), x.Large))
		return
	}
	_, _ = io.WriteString(w, r.fill(x.Answer))
}

func (r *Replay) fill(s string) string {
	return strings.NewReplacer("$TOKEN", r.token, "$HOST", r.URL).Replace(s)
}

func sameJSON(a, b []byte) bool {
	if len(bytes.TrimSpace(a)) == 0 || len(bytes.TrimSpace(b)) == 0 {
		return len(bytes.TrimSpace(a)) == len(bytes.TrimSpace(b))
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
