package compare_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/plan"
)

// verdicts is of JSON bodies, with the paths that differ.
func verdict(c *compare.Comparer, legacy, modern string) string {
	got := c.Compare(get, said(200, legacy), said(200, modern), now)
	out := string(got.Verdict) + got.Note
	for _, d := range got.Differences {
		out += " " + d.Path + ":" + string(d.Kind)
	}
	return out
}

func TestRules(t *testing.T) {
	unordered := plan.CompareRule{Path: "$.l", Unordered: true}
	for name, c := range map[string]struct {
		rules          []plan.CompareRule
		legacy, modern string
		want           string
	}{
		"ignore covers what is below":       {[]plan.CompareRule{ignoring("$.a")}, `{"a":{"b":[1]}}`, `{"a":{"b":[2]}}`, "ignored"},
		"ignore does not cover what is not": {[]plan.CompareRule{ignoring("$.a.b")}, `{"a":{"b":1}}`, `{}`, "mismatched $.a:missing"},
		"any field":                         {[]plan.CompareRule{ignoring("$.*.at")}, `{"a":{"at":1},"b":{"at":1}}`, `{"a":{"at":2},"b":{"at":3}}`, "ignored"},
		"a star is no element":              {[]plan.CompareRule{ignoring("$.*")}, `[1]`, `[2]`, "mismatched $[*]:value"},
		"the first that fits":               {[]plan.CompareRule{{Path: "$.a", Tolerance: new(1.0)}, ignoring("$.a")}, `{"a":"x"}`, `{"a":"y"}`, "ignored"},
		"the first counts":                  {[]plan.CompareRule{{Path: "$.a", Tolerance: new(1.0)}, ignoring("$.a")}, `{"a":1}`, `{"a":3}`, "mismatched $.a:value"},
		"beyond the tolerance":              {[]plan.CompareRule{{Path: "$.a", Tolerance: new(0.01)}}, `{"a":1}`, `{"a":1.0100001}`, "mismatched $.a:value"},
		"at the tolerance, exactly":         {[]plan.CompareRule{{Path: "$.a", Tolerance: new(0.01)}}, `{"a":1.00}`, `{"a":1.01}`, "ignored"},
		"a power beyond all bounds":         {[]plan.CompareRule{{Path: "$.a", Tolerance: new(1e9)}}, `{"a":1e999999999}`, `{"a":1e999999998}`, "mismatched $.a:value"},
		"too late":                          {[]plan.CompareRule{{Path: "$.a", Within: plan.Duration(time.Second)}}, `{"a":"2026-01-01T00:00:00Z"}`, `{"a":"2026-01-01T00:00:01.1Z"}`, "mismatched $.a:value"},
		"values are strict":                 {[]plan.CompareRule{{Path: "$.a", Values: map[string]string{"Active": "COMPLETED"}}}, `{"a":"Active"}`, `{"a":"Active"}`, "mismatched $.a:value"},
		"values that are not named":         {[]plan.CompareRule{{Path: "$.a", Values: map[string]string{"Active": "COMPLETED"}}}, `{"a":"Failed"}`, `{"a":"Failed"}`, "matched"},
		"unordered with other counts":       {[]plan.CompareRule{unordered}, `{"l":[1,1,2]}`, `{"l":[2,2,1]}`, "mismatched $.l[*]:value"},
		"unordered, one more":               {[]plan.CompareRule{unordered}, `{"l":[1,2]}`, `{"l":[3,2,1]}`, "mismatched $.l[*]:added"},
		"unordered, one less":               {[]plan.CompareRule{unordered}, `{"l":[1,2]}`, `{"l":[2]}`, "mismatched $.l[*]:missing"},
		"unordered objects, the nearest": {[]plan.CompareRule{unordered}, `{"l":[{"k":"a","n":"x","s":"x"},{"k":"b","n":"y","s":"y"}]}`,
			`{"l":[{"k":"b","n":"y","s":"z"},{"k":"a","n":"x","s":"x"}]}`, "mismatched $.l[*].s:value"},
		"unordered objects, each has a nearest": {[]plan.CompareRule{unordered}, `{"l":[{"k":"a","n":"x","s":"x"},{"k":"b","n":"y","s":"y"}]}`,
			`{"l":[{"k":"a","n":"x","s":"z"},{"k":"b","n":"y","s":"z"}]}`, "mismatched $.l[*].s:value"},
		"unordered with ignored fields": {[]plan.CompareRule{unordered, ignoring("$.l[*].at")}, `{"l":[{"k":"a","at":"p"},{"k":"b","at":"q"}]}`,
			`{"l":[{"k":"b","at":"r"},{"k":"a","at":"s"}]}`, "ignored"},
		// 1.00 takes 1.005 first, and has to give it up for 1.01.
		"unordered with a tolerance": {[]plan.CompareRule{unordered, {Path: "$.l[*]", Tolerance: new(0.006)}}, `{"l":[1.00,1.01]}`, `{"l":[1.005,0.995]}`, "ignored"},
		"unordered in unordered": {[]plan.CompareRule{unordered, {Path: "$.l[*]", Unordered: true}},
			`{"l":[[1,2],[3,4]]}`, `{"l":[[4,3],[2,1]]}`, "ignored"},
		"no array": {[]plan.CompareRule{unordered}, `{"l":{}}`, `{"l":[]}`, "mismatched $.l:type"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(comparer(t, plan.Comparison{Rules: c.rules}), c.legacy, c.modern); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestIDsAreOneToOne: within an answer and from one to the next.
func TestIDsAreOneToOne(t *testing.T) {
	c := comparer(t, plan.Comparison{Rules: []plan.CompareRule{{Path: "$.l[*].id", IDs: true}, {Path: "$.l", Unordered: true}, {Path: "$.of", IDs: true}}})
	for i, step := range []struct{ legacy, modern, want string }{
		{`{"l":[{"id":1,"n":"a"},{"id":2,"n":"b"}]}`, `{"l":[{"id":"y","n":"b"},{"id":"x","n":"a"}]}`, "ignored"},
		{`{"l":[{"id":1.0,"n":"a"}]}`, `{"l":[{"id":"x","n":"a"}]}`, "ignored"},
		{`{"l":[{"id":1,"n":"a"}]}`, `{"l":[{"id":"z","n":"a"}]}`, "mismatched $.l[*].id:type"}, // 1 is x
		{`{"l":[{"id":3,"n":"a"}]}`, `{"l":[{"id":"x","n":"a"}]}`, "mismatched $.l[*].id:type"}, // x is 1
		{`{"l":[{"id":4,"n":"a"},{"id":4,"n":"a"}]}`, `{"l":[{"id":"p","n":"a"},{"id":"q","n":"a"}]}`, "mismatched $.l[*].id:type"},
		{`{"l":[{"id":5,"n":"a"}]}`, `{"l":[{"id":"e","n":"other"}]}`, "mismatched $.l[*].n:value"}, // not learnt from
		{`{"l":[{"id":5,"n":"a"}]}`, `{"l":[{"id":"f","n":"a"}]}`, "ignored"},
		{`{"l":[{"id":"same","n":"a"}]}`, `{"l":[{"id":"same","n":"a"}]}`, "matched"},
		{`{"l":[{"id":"same","n":"a"}]}`, `{"l":[{"id":"new","n":"a"}]}`, "mismatched $.l[*].id:value"},
		{`{"of":1}`, `{"of":7}`, "ignored"}, // a rule has its own pairs
		{`{"of":null}`, `{"of":7}`, "mismatched $.of:type"},
	} {
		if got := verdict(c, step.legacy, step.modern); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
}

func TestPairsOfIDsAreBounded(t *testing.T) {
	c := comparer(t, plan.Comparison{Rules: []plan.CompareRule{{Path: "$[*]", IDs: true}}})
	const each = 4000
	for from := 0; from < 110_000; from += each {
		var l, m []string
		for i := range each {
			l, m = append(l, fmt.Sprint(from+i)), append(m, fmt.Sprintf(`"m%d"`, from+i))
		}
		if got := verdict(c, "["+strings.Join(l, ",")+"]", "["+strings.Join(m, ",")+"]"); got != "ignored" {
			t.Fatal(got)
		}
	}
	if got := verdict(c, `[0]`, `["other"]`); got != "ignored" {
		t.Errorf("the oldest pair is still there: %s", got)
	}
	if got := verdict(c, `[109000]`, `["other2"]`); got != "mismatched $[*]:type" {
		t.Errorf("a new pair is gone: %s", got)
	}
}

// TestTheBaselineKnowsNoModern: two answers of legacy.
func TestTheBaselineKnowsNoModern(t *testing.T) {
	c := plan.Comparison{Rules: []plan.CompareRule{
		{Path: "$.s", Values: map[string]string{"Active": "COMPLETED"}}, {Path: "$.id", IDs: true}, ignoring("$.at"),
	}}
	b, err := compare.NewBaseline(&c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(b, `{"s":"Active","id":1,"at":1}`, `{"s":"Active","id":1,"at":2}`); got != "ignored" {
		t.Error(got)
	}
	if got := verdict(b, `{"id":1}`, `{"id":2}`); got != "mismatched $.id:value" {
		t.Error(got)
	}
	if got := b.Compare(compare.Request{Method: "GET", OneThing: true}, said(200, `{}`), said(404, `{}`), now); got.Verdict != compare.Mismatched {
		t.Errorf("legacy lost what it had: %+v", got)
	}
}

// TestNoValueLeaves: of what differs only type, length and a hash are told, and the
// hash has a key.
func TestNoValueLeaves(t *testing.T) {
	c := plan.Comparison{Headers: []string{"X-Token"}}
	l := said(200, `{"secret-name":"hunter2-legacy","gone":{"pin":1234},"users":{"ada@example.com":1}}`, "X-Token: hunter2-header")
	m := said(200, `{"secret-name":"hunter2-modern","users":{"ada@example.com":2}}`, "X-Token: hunter2-other")
	hashes := map[string]bool{}
	for _, key := range []string{"one", "two"} {
		cmp, err := compare.New(&c, []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		got := cmp.Compare(get, l, m, now)
		text := fmt.Sprintf("%+v", got)
		for _, secret := range []string{"hunter2", "1234", "pin", "ada"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is told: %s", secret, text)
			}
		}
		if len(got.Differences) != 4 {
			t.Errorf("got %s", text)
		}
		for _, d := range got.Differences {
			if d.Path == "$.secret-name" && (d.Legacy.Length != 14 || d.Legacy.Type != "string") {
				t.Errorf("got %+v", d)
			}
			if d.Path == "$.secret-name" {
				hashes[d.Legacy.Hash] = true
			}
		}
	}
	if len(hashes) != 2 {
		t.Errorf("hashes %v do not depend on the key", hashes)
	}
}

func TestWhichNamesMayBeValues(t *testing.T) {
	for name, want := range map[string]bool{
		"orders": false, "v1": false, "v2.1": false, "ipv4": false, "oauth2": false, "x-request-id": false, "createdAt": false, "": false,
		"4711": true, "550e8400-e29b-41d4-a716-446655440000": true, "deadbeef01": true, "order-1234": true, "ada@example.com": true, "é": true, strings.Repeat("a", 49): true, "a%20b": true,
	} {
		if got := compare.LooksLikeValue(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestEqualByAnyOrder: shuffled and written anew, an answer stays equal.
func TestEqualByAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := comparer(t, plan.Comparison{Rules: []plan.CompareRule{{Path: "$.l", Unordered: true}, {Path: "$.l[*].tags", Unordered: true}}})
	for range 300 {
		var items []string
		for range r.IntN(12) {
			items = append(items, fmt.Sprintf(`{"n":%d,"tags":["%c","%c"]}`, r.IntN(4), 'a'+r.IntN(3), 'a'+r.IntN(3)))
		}
		a := `{"l":[` + strings.Join(items, ",") + `]}`
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		b := `{"l":[` + strings.Join(items, ",") + `]}`
		if got := verdict(c, a, b); got != "matched" && got != "ignored" {
			t.Fatalf("%s against %s: %s", a, b, got)
		}
		if got := verdict(c, a, strings.Replace(b, `"n":3`, `"n":33`, 1)); strings.Contains(b, `"n":3`) && !strings.HasPrefix(got, "mismatched") {
			t.Fatalf("a planted difference is not found: %s", got)
		}
	}
}

func FuzzCompare(f *testing.F) {
	for _, d := range [][2]string{{`{"a":[1,2,{"b":null}]}`, `{"a":[2,1]}`}, {`[[[`, `]`}, {"\xff", `"\ud800"`}, {`{"l":[1e9999999999999999999999999999999999999999,2]}`, `{"l":[3,-0.0e-0]}`}, {``, `{}`}} {
		f.Add(d[0], d[1], "gzip", "application/json")
	}
	c := plan.Comparison{Rules: []plan.CompareRule{
		{Path: "$.l", Unordered: true}, {Path: "$.l[*]", Tolerance: new(0.5)}, {Path: "$.*.id", IDs: true}, {Path: "$.a", Values: map[string]string{"1": "2"}},
		{Path: "$.at", Within: plan.Duration(time.Second)}, ignoring("$.x[*].*"),
	}}
	f.Fuzz(func(t *testing.T, a, b, encoding, typ string) {
		cmp, err := compare.New(&c, []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		cmp.Compare(get, said(200, a, "Content-Encoding: "+encoding, "Content-Type: "+typ), said(200, b, "Content-Encoding: "+encoding, "Content-Type: "+typ), now)
		plain, err := compare.New(&plan.Comparison{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain.Compare(get, said(200, a, "Content-Type: "+typ), said(200, a, "Content-Type: "+typ), now); got.Verdict != compare.Matched {
			t.Fatalf("%q differs from itself: %+v", a, got)
		}
		one := plain.Compare(get, said(200, a), said(200, b), now)
		other := plain.Compare(get, said(200, b), said(200, a), now)
		if (one.Verdict == compare.Matched) != (other.Verdict == compare.Matched) {
			t.Fatalf("%q against %q: %s, and %s the other way", a, b, one.Verdict, other.Verdict)
		}
	})
}
