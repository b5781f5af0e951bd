package translate_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/gates/celjson"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

// fuzzed reads everything of a request and of an answer, and makes everything.
var fuzzed = plan.Translation{
	MaxBody: 64 << 10,
	Request: &plan.RequestMapping{
		Method:  "request.headers[?'x-method'].orValue(request.method)",
		Path:    "request.body.?path.orValue(dyn(request.segments))",
		Query:   map[string]string{"q": "request.body.?q", "h": "request.headers[?'x-a']"},
		Headers: map[string]string{"X-A": "request.headers[?'x-a']", "X-B": "request.body.?b", "X-C": "request.path"},
		Body:    "{'all': request.body, 'query': request.query, ?'id': request.body.?id, 'many': [request.body, request.body]}",
	},
	Response: &plan.ResponseMapping{
		Status:  "response.body.?status.orValue(response.status)",
		Headers: map[string]string{"X-A": "response.headers[?'x-a']"},
		Body:    "{'was': response.body, 'of': request.body}",
	},
}

// FuzzTranslate takes any body and any headers: nothing panics, what comes out fits
// its bounds and can stand in a request, and a failure is one.
func FuzzTranslate(f *testing.F) {
	f.Add("GET", "/a/b", "x=1", "v", `{"path": "/x", "q": [1], "b": null, "id": 1e300}`, `{"status": 404}`, 200)
	f.Add("post", "/..", "%zz", "\r\nX: y", `{"path": ["..", "a/b"]}`, `[]`, 0)
	f.Add("", "", "", "", `{"path": "/%2e%2e/\\..\\x", "b": "\u0000"}`, `{"status": "x"}`, -1)
	f.Add("GET", "/", "", "\xff\xfe", strings.Repeat("[", 200), "{", 200)
	f.Add("GET", "/", "", "", `{"id": "`+strings.Repeat("\u0001", 9000)+`"}`, `"\ud800"`, 200)
	tr := compiled(f, "fuzzed", fuzzed)
	f.Fuzz(func(t *testing.T, method, path, query, header, body, answer string, status int) {
		in, err := celjson.Decode([]byte(body))
		if err != nil {
			if !errors.Is(err, celjson.ErrDepth) && !errors.Is(err, celjson.ErrJSON) {
				t.Fatalf("decode: %v", err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), translate.MaxTime)
		defer cancel()
		r := &translate.Request{Method: method, Path: path, Segments: strings.Split(path, "/"), Query: map[string]string{"q": query},
			Headers: map[string]string{"x-a": header, "x-method": method}, Body: in}
		out, err := tr.Request(ctx, r)
		var failure *translate.Failure
		switch {
		case err == nil:
			checkRequest(t, out, tr.MaxBody())
		case !errors.As(err, &failure):
			t.Fatalf("request: %v is no failure", err)
		}
		back, err := celjson.Decode([]byte(answer))
		if err != nil {
			return
		}
		res, err := tr.Response(ctx, r, &translate.Response{Status: status, Headers: map[string]string{"x-a": header}, Body: back})
		switch {
		case err == nil:
			checkBody(t, res.Body, tr.MaxBody())
			if res.Status < 200 || res.Status > 599 {
				t.Fatalf("status %d", res.Status)
			}
		case !errors.As(err, &failure):
			t.Fatalf("answer: %v is no failure", err)
		}
	})
}

func checkRequest(t *testing.T, out translate.RequestChange, most int) {
	t.Helper()
	checkBody(t, out.Body, most)
	if out.Method == "" || strings.ContainsAny(out.Method, " \r\n\x00") {
		t.Fatalf("method %q", out.Method)
	}
	u, err := url.ParseRequestURI(out.Path)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasPrefix(out.Path, "//") {
		t.Fatalf("path %q: %v", out.Path, err)
	}
	for _, part := range strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." || part == "." {
			t.Fatalf("path %q leads elsewhere", out.Path)
		}
	}
	for _, h := range out.Header {
		for _, v := range h.Values {
			if strings.ContainsAny(v, "\r\n\x00") || len(v) > 8<<10 {
				t.Fatalf("header %s: %q", h.Name, v)
			}
		}
	}
}

func checkBody(t *testing.T, body []byte, most int) {
	t.Helper()
	if len(body) > most+1 || len(body) > 0 && !json.Valid(body) {
		t.Fatalf("body of %d bytes, valid %t", len(body), json.Valid(body))
	}
}

func BenchmarkTranslate(b *testing.B) {
	for _, name := range []string{"create", "one"} {
		tr := reference(b, name)
		r := &translate.Request{Method: "POST", Path: "/ecomp/mso/infra/serviceInstances/v2/12345",
			Segments: []string{"ecomp", "mso", "infra", "serviceInstances", "v2", "12345"}}
		answer := []byte(`{"id": "12345", "name": "my-service", "status": "COMPLETED", "resources": {"network_id": "net-1", "vm_ids": ["vnf-1", "vnf-2"]}}`)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Body, _ = celjson.Decode([]byte(legacyCreate))
				if _, err := tr.Request(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				body, _ := celjson.Decode(answer)
				if _, err := tr.Response(b.Context(), r, &translate.Response{Status: 200, Body: body}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
