package compare_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/plan"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// said is an answer; headers are "Name: value".
func said(status int, body string, headers ...string) *compare.Answer {
	a := &compare.Answer{Status: status, Body: []byte(body), Header: http.Header{"Content-Type": {"application/json"}}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if a.Header.Del(name); value != "" {
			a.Header.Set(name, value)
		}
	}
	return a
}

func packed(t testing.TB, body string, by func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var b bytes.Buffer
	w := by(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t testing.TB, body string) string {
	return packed(t, body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func ignoring(path string) plan.CompareRule {
	return plan.CompareRule{Path: path, Ignore: true, Owner: "team-so", Expires: "2027-01-31"}
}

func comparer(t testing.TB, c plan.Comparison) *compare.Comparer {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	out, err := compare.New(&c, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var get = compare.Request{Method: "GET"}

// planted is a difference: where and of what kind it is, and the rule that excuses it.
type planted struct {
	name           string
	legacy, modern *compare.Answer
	path           string
	kind           compare.Kind
	rule           plan.CompareRule
}

func differences(t *testing.T) []planted {
	ok := func(body string) *compare.Answer { return said(200, body) }
	gz := "Content-Encoding: gzip"
	return []planted{
		{"field missing", ok(`{"id":1,"name":"a"}`), ok(`{"id":1}`), "$.name", compare.Missing, ignoring("$.name")},
		{"field added", ok(`{"id":1}`), ok(`{"id":1,"debug":{"x":1}}`), "$.debug", compare.Added, ignoring("$.debug")},
		{"field missing deep", ok(`{"a":{"b":[{"c":1,"d":2}]}}`), ok(`{"a":{"b":[{"c":1}]}}`), "$.a.b[*].d", compare.Missing, ignoring("$.a.b[*].d")},
		{"null for missing", ok(`{"a":null}`), ok(`{}`), "$.a", compare.Missing, ignoring("$.a")},
		{"null for a value", ok(`{"a":"x"}`), ok(`{"a":null}`), "$.a", compare.Type, ignoring("$.a")},
		{"number as text", ok(`{"n":5}`), ok(`{"n":"5"}`), "$.n", compare.Type, plan.CompareRule{Path: "$.n", Values: map[string]string{"5": "5"}}},
		{"truth value", ok(`{"on":true}`), ok(`{"on":false}`), "$.on", compare.Value, ignoring("$.on")},
		{"truth value as number", ok(`{"on":true}`), ok(`{"on":1}`), "$.on", compare.Type, plan.CompareRule{Path: "$.on", Values: map[string]string{"true": "1", "false": "0"}}},
		{"object for array", ok(`{"x":[]}`), ok(`{"x":{}}`), "$.x", compare.Type, ignoring("$.x")},
		{"text", ok(`{"x":"a"}`), ok(`{"x":"A"}`), "$.x", compare.Value, plan.CompareRule{Path: "$.x", Values: map[string]string{"a": "A"}}},
		{"order", ok(`{"l":[1,2,3]}`), ok(`{"l":[3,1,2]}`), "$.l", compare.Order, plan.CompareRule{Path: "$.l", Unordered: true}},
		{"order of objects", ok(`[{"a":1},{"a":2}]`), ok(`[{"a":2},{"a":1}]`), "$", compare.Order, plan.CompareRule{Path: "$", Unordered: true}},
		{"element missing", ok(`{"l":[1,2,3]}`), ok(`{"l":[1,2]}`), "$.l[*]", compare.Missing, ignoring("$.l[*]")},
		{"element added", ok(`{"l":[1]}`), ok(`{"l":[1,1]}`), "$.l[*]", compare.Added, ignoring("$.l")},
		{"float", ok(`{"price":10.00}`), ok(`{"price":10.01}`), "$.price", compare.Value, plan.CompareRule{Path: "$.price", Tolerance: new(0.01)}},
		{"float in its last digit", ok(`{"r":0.30000000000000004}`), ok(`{"r":0.3}`), "$.r", compare.Value, plan.CompareRule{Path: "$.r", Tolerance: new(1e-9)}},
		{"big number", ok(`{"n":9007199254740993}`), ok(`{"n":9007199254740992}`), "$.n", compare.Value, plan.CompareRule{Path: "$.n", Tolerance: new(1.0)}},
		{"timestamp", ok(`{"at":"2026-11-28T12:00:00Z"}`), ok(`{"at":"2026-11-28T12:00:02Z"}`), "$.at", compare.Value, plan.CompareRule{Path: "$.at", Within: plan.Duration(5 * time.Second)}},
		{"timestamp of another zone", ok(`{"at":"2026-11-28T12:00:00Z"}`), ok(`{"at":"2026-11-28T13:00:00+01:00"}`), "$.at", compare.Value, plan.CompareRule{Path: "$.at", Within: plan.Duration(time.Second)}},
		{"id", ok(`{"id":"4711"}`), ok(`{"id":"0b3e"}`), "$.id", compare.Value, plan.CompareRule{Path: "$.id", IDs: true}},
		{"id of another type", ok(`{"l":[{"id":1},{"id":2}]}`), ok(`{"l":[{"id":"a"},{"id":"b"}]}`), "$.l[*].id", compare.Type, plan.CompareRule{Path: "$.l[*].id", IDs: true}},
		{"status map", ok(`{"status":"Active"}`), ok(`{"status":"COMPLETED"}`), "$.status", compare.Value, plan.CompareRule{Path: "$.status", Values: map[string]string{"Active": "COMPLETED", "Assigned": "PENDING"}}},
		{"a field with a quoted name", ok(`{"a b":{"c":1}}`), ok(`{"a b":{"c":2}}`), `$["a b"].c`, compare.Value, ignoring(`$["a b"].c`)},
		{"a field named by an id", ok(`{"m":{"4711":1}}`), ok(`{"m":{"4711":2}}`), "$.m.*", compare.Value, ignoring("$.m.*")},
		{"header", said(200, `{}`, "Etag: a"), said(200, `{}`, "Etag: b"), "header.Etag", compare.Value, ignoring("header.ETag")},
		{"header missing", said(200, `{}`, "Etag: a"), said(200, `{}`), "header.Etag", compare.Missing, ignoring("header.ETag")},
		{"content type", said(200, `{}`), said(200, `{}`, "Content-Type: text/plain"), "header.Content-Type", compare.Value,
			plan.CompareRule{Path: "header.Content-Type", Values: map[string]string{"application/json": "text/plain"}}},
		{"status", said(201, `{}`), said(200, `{}`), "status", compare.Value, plan.CompareRule{Path: "status", Values: map[string]string{"201": "200"}}},
		{"status and body", said(200, `{"a":1}`), said(500, `oops`), "status", compare.Value, plan.CompareRule{}},
		{"truncated", ok(`{"a":[1,2,3]}`), ok(`{"a":[1,2`), "body", compare.Format, ignoring("body")},
		{"no JSON", ok(`{"a":1}`), said(200, `<html>`, "Content-Type: text/html"), "body", compare.Format, ignoring("body")},
		{"bytes", said(200, "a\n", "Content-Type: text/plain"), said(200, "a\r\n", "Content-Type: text/plain"), "body", compare.Value, ignoring("body")},
		{"encoding", said(200, "caf\xe9", "Content-Type: text/plain; charset=iso-8859-1"), said(200, "cafe", "Content-Type: text/plain; charset=utf-8"), "body", compare.Value, ignoring("body")},
		{"gzip", said(200, zipped(t, `{"a":1}`), gz), said(200, zipped(t, `{"a":2}`), gz), "$.a", compare.Value, ignoring("$.a")},
		{"gzip that is none", said(200, zipped(t, `{"a":1}`), gz), said(200, `{"a":1}`, gz), "body", compare.Format, ignoring("body")},
		{"gzip cut off", said(200, zipped(t, `{"a":1}`), gz), said(200, zipped(t, `{"a":1}`)[:12], gz), "body", compare.Format, ignoring("body")},
		{"no UTF-8", ok("\"\xff\""), ok("\"\xfe\""), "body", compare.Value, ignoring("body")},
		{"empty body", ok(`{"a":1}`), ok(``), "body", compare.Format, ignoring("body")},
	}
}

func TestEachPlantedDifferenceIsFoundAndExcused(t *testing.T) {
	counting := []string{"ETag", "Content-Type"}
	all := differences(t)
	if len(all) < 30 {
		t.Fatalf("%d differences, want 30", len(all))
	}
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			headers := counting[:1]
			if strings.HasPrefix(d.path, "header.Content") {
				headers = counting
			}
			got := comparer(t, plan.Comparison{Headers: headers}).Compare(get, d.legacy, d.modern, now)
			if got.Verdict != compare.Mismatched || len(got.Differences) != 1 || got.Differences[0].Path != d.path || got.Differences[0].Kind != d.kind {
				t.Fatalf("got %+v, want one difference at %s: %s", got, d.path, d.kind)
			}
			if d.rule.Path == "" {
				return
			}
			rules := []plan.CompareRule{ignoring("$.elsewhere"), d.rule}
			got = comparer(t, plan.Comparison{Headers: headers, Rules: rules}).Compare(get, d.legacy, d.modern, now)
			if got.Verdict != compare.Ignored || len(got.Excused) == 0 || got.Excused[0].Rule != 1 {
				t.Errorf("with the rule got %+v", got)
			}
			// Once it has expired the difference counts again.
			rules[1].Expires = "2026-11-27"
			got = comparer(t, plan.Comparison{Headers: headers, Rules: rules}).Compare(get, d.legacy, d.modern, now)
			if got.Verdict != compare.Mismatched {
				t.Errorf("with a rule that has expired got %+v", got)
			}
		})
	}
}

// TestWhatIsEqual: nothing of this is a difference.
func TestWhatIsEqual(t *testing.T) {
	deflated := packed(t, `{"a":1}`, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	bare := packed(t, `{"a":1}`, func(w io.Writer) io.WriteCloser {
		f, err := flate.NewWriter(w, 6)
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	for name, c := range map[string][2]*compare.Answer{
		"order of keys":       {said(200, `{"a":1,"b":[{"c":2,"d":3}]}`), said(200, "{ \"b\": [ {\"d\":3,\n\"c\":2} ], \"a\":1 }")},
		"forms of numbers":    {said(200, `[1.0,100,0.5,-0,1e3,0.001]`), said(200, `[1,1e2,5e-1,0,1000,1E-3]`)},
		"escapes":             {said(200, `["\u00e9\/"]`), said(200, `["é/"]`)},
		"headers not counted": {said(200, `{}`, "Server: a"), said(200, `{}`, "Server: b")},
		"case of charset":     {said(200, `{}`, "Content-Type: application/json; charset=UTF-8"), said(200, `{}`, "Content-Type: application/json;charset=utf-8")},
		"gzip or not":         {said(200, zipped(t, `{"a":1}`), "Content-Encoding: gzip"), said(200, `{"a":1}`)},
		"gzip or deflate":     {said(200, deflated, "Content-Encoding: deflate"), said(200, bare, "Content-Encoding: deflate")},
		"the same unreadable": {said(200, "\x1b\x00", "Content-Encoding: br"), said(200, "\x1b\x00", "Content-Encoding: br")},
		"no type":             {said(200, `{"a":1}`, "Content-Type: "), said(200, `{"a": 1}`, "Content-Type: ")},
		"charsets":            {said(200, "caf\xe9", "Content-Type: text/plain; charset=ISO-8859-1"), said(200, "café", "Content-Type: text/plain; charset=utf-8")},
		"byte order mark":     {said(200, "\ufeff{}"), said(200, "{}")},
		"broken the same way": {said(200, `{"a":`), said(200, `{"a":`)},
	} {
		if got := comparer(t, plan.Comparison{Headers: []string{"Content-Encoding2"}}).Compare(get, c[0], c[1], now); got.Verdict != compare.Matched {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatIsNotComparable(t *testing.T) {
	one := compare.Request{Method: "GET", OneThing: true}
	flawed := func(flaw string) *compare.Answer { return &compare.Answer{Status: 200, Flaw: flaw} }
	bomb := zipped(t, strings.Repeat(" ", 5<<20))
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	many := func(n int) string {
		var b strings.Builder
		for i := range 600 {
			fmt.Fprintf(&b, `{"x":%d,"y":0},`, i*n)
		}
		return "[" + strings.TrimSuffix(b.String(), ",") + "]"
	}
	for name, c := range map[string]struct {
		request        compare.Request
		legacy, modern *compare.Answer
		verdict        compare.Verdict
		note           string
	}{
		"modern has it not yet":  {one, said(200, `{}`), said(404, `{}`), compare.NotComparable, compare.Absent},
		"modern has it no more":  {one, said(200, `{}`), said(410, `{}`), compare.NotComparable, compare.Absent},
		"neither has it":         {one, said(404, `{}`), said(404, `{}`), compare.Matched, ""},
		"a list is not there":    {get, said(200, `[]`), said(404, `{}`), compare.Mismatched, ""},
		"a write is not taken":   {compare.Request{Method: "DELETE", OneThing: true}, said(204, ``), said(404, ``), compare.Mismatched, ""},
		"modern refuses":         {one, said(200, `{}`), said(403, `{}`), compare.Mismatched, ""},
		"legacy's is cut":        {get, flawed(compare.ClientLeft), said(200, `{}`), compare.NotComparable, compare.ClientLeft},
		"legacy's is large":      {get, flawed(compare.TooLarge), said(200, `{}`), compare.NotComparable, compare.TooLarge},
		"modern's is large":      {get, said(200, `{}`), flawed(compare.TooLarge), compare.NotComparable, compare.TooLarge},
		"modern's is cut":        {get, said(200, `{}`), flawed(compare.BrokenOff), compare.Errored, compare.BrokenOff},
		"modern is silent":       {get, said(200, `{}`), flawed(compare.TimedOut), compare.Errored, compare.TimedOut},
		"both are silent":        {get, flawed(compare.NoAnswer), flawed(compare.NoAnswer), compare.Errored, compare.NoAnswer},
		"a bomb":                 {get, said(200, `{}`), said(200, bomb, "Content-Encoding: gzip"), compare.NotComparable, compare.BodyTooLarge},
		"deep":                   {get, said(200, `[]`), said(200, deep), compare.NotComparable, compare.TooDeep},
		"brotli":                 {get, said(200, `{}`), said(200, "\x1b", "Content-Encoding: br"), compare.NotComparable, compare.Encoding},
		"five encodings":         {get, said(200, `{}`), said(200, "", "Content-Encoding: gzip,gzip,gzip,gzip,gzip"), compare.NotComparable, compare.Encoding},
		"legacy's gzip is none":  {get, said(200, `{}`, "Content-Encoding: gzip"), said(200, `{}`), compare.NotComparable, compare.Encoding},
		"a charset":              {get, said(200, "a", "Content-Type: text/plain; charset=shift_jis"), said(200, "b", "Content-Type: text/plain; charset=utf-8"), compare.NotComparable, compare.Charset},
		"too many to pair":       {get, said(200, many(3)), said(200, many(5)), compare.NotComparable, compare.TooMuchWork},
		"HEAD has no body":       {compare.Request{Method: "HEAD"}, said(200, ``), said(200, `x`), compare.Matched, ""},
		"HEAD of what is absent": {compare.Request{Method: "HEAD", OneThing: true}, said(200, ``), said(404, ``), compare.NotComparable, compare.Absent},
	} {
		cmp := comparer(t, plan.Comparison{Rules: []plan.CompareRule{{Path: "$", Unordered: true}, ignoring("$[*].y")}})
		if got := cmp.Compare(c.request, c.legacy, c.modern, now); got.Verdict != c.verdict || got.Note != c.note || got.Note != "" && len(got.Differences)+len(got.Excused) > 0 {
			t.Errorf("%s: got %+v, want %s (%s)", name, got, c.verdict, c.note)
		}
	}
	strict := comparer(t, plan.Comparison{Absent: plan.AbsentMismatched})
	if got := strict.Compare(one, said(200, `{}`), said(404, `{}`), now); got.Verdict != compare.Mismatched {
		t.Errorf("where absent is a mismatch: %+v", got)
	}
}
