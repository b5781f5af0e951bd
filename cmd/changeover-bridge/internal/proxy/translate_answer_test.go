package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

func TestAnAnswerIsTranslatedOrDoesNotPass(t *testing.T) {
	zipped := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, s)
		_ = w.Close()
		return b.String()
	}
	const secret = "hunter2"
	for _, c := range []struct {
		name        string
		method      string
		status      int
		header      []string
		body        string
		wantStatus  int
		want        string // the body, or part of it where the status is 502
		wantHeaders map[string]string
	}{
		{"translated", "GET", 200, []string{"Content-Type", "application/json", "Etag", `"1"`, "Accept-Ranges", "bytes"}, `{"id": 7}`, 203, `{"was":7}`,
			map[string]string{"Content-Type": "application/json", "Content-Length": "9", "Etag": "", "Accept-Ranges": "", "X-Was": "200", "X-Gone": ""}},
		{"problem+json", "GET", 404, []string{"Content-Type", "application/problem+json", "X-Gone", "1"}, `{"id": null}`, 404, `{"was":null}`, map[string]string{"X-Was": "404", "X-Gone": ""}},
		{"an error page", "GET", 502, []string{"Content-Type", "text/html"}, "<h1>bad</h1>", 502, "<h1>bad</h1>", map[string]string{"X-Was": "", "Content-Length": "12"}},
		{"no body", "GET", 204, nil, "", 204, "", map[string]string{"X-Was": "204", "Content-Length": ""}},
		{"HEAD", "HEAD", 200, []string{"Content-Type", "application/json", "Content-Length", "500", "Etag", `"1"`}, "", 203, "", map[string]string{"X-Was": "200", "Content-Length": "", "Etag": ""}},
		{"not modified", "GET", 304, []string{"Etag", `"1"`}, "", 304, "", map[string]string{"X-Was": "304"}},
		{"a field is missing", "GET", 200, []string{"Content-Type", "application/json"}, `{"other": "hunter2"}`, 502, "response.body of translation x failed: a field or key that it reads is not there", nil},
		{"no JSON", "GET", 200, []string{"Content-Type", "application/json"}, `{"id": hunter2`, 502, "response.body of translation x failed: the body is no JSON", nil},
		{"deep", "GET", 200, []string{"Content-Type", "application/json"}, strings.Repeat("[", 500), 502, "nested more than 100 deep", nil},
		{"too large", "GET", 200, []string{"Content-Type", "application/json"}, `{"id": "` + strings.Repeat("x", 1000) + `"}`, 502, "larger than maxBody", nil},
		{"encoded", "GET", 200, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, zipped(`{"id": 7}`), 502, "modern encoded it, although it was asked not to", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var encoding, ranged string
			modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
				encoding, ranged = r.Header.Get("Accept-Encoding"), r.Header.Get("Range")
				for i := 0; i+1 < len(c.header); i += 2 {
					w.Header().Set(c.header[i], c.header[i+1])
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{"x": {MaxBody: 1000, Response: &plan.ResponseMapping{
				Status: "response.status == 200 ? 203 : response.status", Headers: map[string]string{"X-Was": "response.status", "X-Gone": "null"},
				Body: "response.body == null ? dyn(null) : dyn({'was': response.body.id})",
			}}}, bridge.Rule{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern, Translate: "x"})
			req, err := http.NewRequest(c.method, f.url+"/x", nil)
			req.Header.Set("Accept-Encoding", "gzip")
			req.Header.Set("Range", "bytes=0-1")
			res, body := send(t, req, err)
			if encoding != "identity" || ranged != "" {
				t.Errorf("modern was asked for encoding %q and range %q", encoding, ranged)
			}
			switch {
			case res.StatusCode != c.wantStatus || strings.Contains(body, secret):
				t.Errorf("got %d %q, want %d", res.StatusCode, body, c.wantStatus)
			case c.wantHeaders == nil && !strings.Contains(body, c.want), c.wantHeaders != nil && body != c.want:
				t.Errorf("got %q, want %q", body, c.want)
			}
			for name, want := range c.wantHeaders {
				if got := res.Header.Get(name); got != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestMethodsAndStatusesWithoutABodyStayWhole(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Method", r.Method)
		_, _ = io.WriteString(w, `{"id": 7}`)
	})
	f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{
		"get":  {Request: &plan.RequestMapping{Method: "'GET'"}},
		"head": {Request: &plan.RequestMapping{Method: "'HEAD'"}},
		"none": {Response: &plan.ResponseMapping{Status: "204"}},
	}, bridge.Rule{Match: &plan.Match{Path: "/get"}, To: plan.ToModern, Translate: "get"},
		bridge.Rule{Match: &plan.Match{Path: "/head"}, To: plan.ToModern, Translate: "head"},
		bridge.Rule{Match: &plan.Match{Path: "/none"}, To: plan.ToModern, Translate: "none"})
	for _, c := range []struct {
		method, path, want string
	}{
		{"HEAD", "/get", "200 GET "}, {"GET", "/head", "200 HEAD "}, {"GET", "/none", "204 GET "}, {"GET", "/get", `200 GET {"id": 7}`},
	} {
		req, err := http.NewRequest(c.method, f.url+c.path, nil)
		res, body := send(t, req, err)
		if got := fmt.Sprintf("%d %s %s", res.StatusCode, res.Header.Get("X-Method"), body); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

func TestACopyIsTranslatedToo(t *testing.T) {
	legacy, modern := &seen{}, &seen{}
	f := translating(t, legacy.backend(t, "legacy"), modern.backend(t, "modern"), map[string]plan.Translation{
		"x":    {Request: &plan.RequestMapping{Path: "['m', request.segments[1]]", Query: map[string]string{"q": "request.body.id"}, Body: "[request.body.id]", Headers: map[string]string{"X-Tenant": "'t'"}}},
		"post": {Request: &plan.RequestMapping{Method: "'POST'"}},
	},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToLegacy, Mirror: &bridge.Mirror{Percent: 100, Unsafe: true}, Translate: "x"},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/safe/"}, To: plan.ToLegacy, Mirror: &bridge.Mirror{Percent: 100}, Translate: "post"})
	for _, c := range []struct{ method, path, body string }{{"POST", "/x/1?a=b&q=old", `{"id": 7}`}, {"POST", "/x/2", `{"di": 7}`}, {"POST", "/x/3", "no JSON"}, {"GET", "/safe/1", ""}} {
		if code, body := call(t, c.method, f.url+c.path, c.body, "Content-Type", "application/json", "X-Changeover-Side", "modern"); code != 200 || body != "legacy" {
			t.Errorf("%s: got %d %s, want legacy's answer", c.path, code, body)
		}
	}
	f.metric(1, copies, "outcome=answered", "route=0")
	f.metric(2, copies, "outcome=untranslated", "route=0")
	f.metric(1, copies, "outcome=untranslated", "route=1") // not safe any more
	if d := cmp.Diff([]string{`POST shop.example.com /m/1?a=b&q=7 side=modern tenant=t "[7]"`}, modern.all()); d != "" {
		t.Errorf("modern got (-want +got):\n%s", d)
	}
	if got := legacy.all(); len(got) != 4 || got[0] != `POST shop.example.com /x/1?a=b&q=old side=legacy tenant= "{\"id\": 7}"` {
		t.Errorf("legacy got %q", got)
	}
}

func TestABodyThatNobodyReadsStreamsThrough(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		_ = ctl.EnableFullDuplex()
		_ = ctl.Flush()
		part := make([]byte, 5)
		for range 2 {
			if _, err := io.ReadFull(r.Body, part); err != nil {
				return
			}
			_, _ = w.Write(part)
			_ = ctl.Flush()
		}
	})
	f := translating(t, modern.URL, modern.URL, map[string]plan.Translation{"x": {MaxBody: 1, Request: &plan.RequestMapping{Path: "'/y'"}, Response: &plan.ResponseMapping{Headers: map[string]string{"X-A": "'b'"}}}},
		bridge.Rule{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern, Translate: "x"})
	r, w := io.Pipe()
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/x", r)
	if err != nil {
		t.Fatal(err)
	}
	res, err := plainTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("X-A") != "b" {
		t.Error("the answer's header is not set")
	}
	buf := make([]byte, 5)
	for _, part := range []string{"first", "other"} { // the second is written when the first has come back
		go func() { _, _ = io.WriteString(w, part) }()
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != part {
			t.Fatalf("got %q, %v, want %q", buf, err, part)
		}
	}
	_ = w.Close()
}
