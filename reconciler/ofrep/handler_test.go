package ofrep_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ofrep"
	"github.com/changeover-dev/changeover/render/flagd"
	evaluator "github.com/changeover-dev/changeover/test/flagd"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func share(p plan.Percent) *plan.Share { return &plan.Share{Percent: p} }

func set(t testing.TB, name string, flags ...plan.Flag) *flagd.Set {
	t.Helper()
	p := &plan.Plan{Metadata: plan.Metadata{Name: name, Namespace: "web"}, Spec: plan.Spec{Phases: []plan.Phase{{Name: "only"}}, Flags: flags}}
	s, err := flagd.Compile(p, plan.Position{Phase: "only"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shop(t testing.TB) *flagd.Set {
	t.Helper()
	return set(t, "shop",
		plan.Flag{Name: "checkout", Percent: share(33.33), Targeting: []plan.FlagRule{{Attribute: "user.tier", Operator: plan.FlagIn, Values: []string{"gold"}, To: plan.Modern}}},
		plan.Flag{Name: "search", Percent: share(50), Prerequisites: []string{"checkout"}, Default: plan.Modern},
		plan.Flag{Name: "layout.text", Percent: share(60), Variants: map[string]plan.Percent{"wide": 20, "compact": 80}},
		plan.Flag{Name: "dead", Percent: share(100), KillSwitch: true, Owner: "ann", Tags: map[string]string{"part": "ui"}},
		plan.Flag{Name: "rival", Percent: share(50), ConflictsWith: []string{"search"}},
		plan.Flag{Name: "ended", Percent: share(50), ExpiresAt: plan.Timestamp{Time: now}},
		plan.Flag{Name: "everybody", Percent: share(100)},
	)
}

var names = []string{"checkout", "dead", "ended", "everybody", "layout.text", "rival", "search"}

type plans []*flagd.Set

func (p plans) All() []*flagd.Set { return p }

func (p plans) Of(key plan.Key) *flagd.Set {
	for _, s := range p {
		if s.Plan == key {
			return s
		}
	}
	return nil
}

func serve(t testing.TB, p plans) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(ofrep.Handler(func() ofrep.Plans {
		if p == nil {
			return nil
		}
		return p
	}))
	t.Cleanup(s.Close)
	return s
}

// callers of all sorts; an SDK tells no key that is no text.
func callers(n int) []map[string]any {
	out := make([]map[string]any, n)
	for i := range out {
		out[i] = map[string]any{"user": map[string]any{"tier": []any{"gold", "silver", 3.0, nil}[i%4]}, "n": float64(i)}
		if i%5 != 0 {
			out[i]["targetingKey"] = fmt.Sprintf("Größe %d/東京 \"%d\"", i, i*7)
		}
	}
	return out
}

func asked() int {
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		return 20_000
	}
	return 300
}

func post(t testing.TB, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// An application with an OpenFeature SDK that asks for each flag, one that asks for
// all at once, and flagd itself get the same.
func TestAnSDKGetsWhatFlagdGives(t *testing.T) {
	s := shop(t)
	server, all := serve(t, plans{s}), callers(asked())
	want := evaluator.Build(t).Answers(t, s.Definitions(), names, all)
	single := evaluator.BuildClient(t).Answers(t, server.URL+"/plans/web/shop", names, all)
	modern := 0
	for i, c := range all {
		body, err := json.Marshal(map[string]any{"context": c})
		if err != nil {
			t.Fatal(err)
		}
		_, answer := post(t, server.URL+"/ofrep/v1/evaluate/flags", string(body))
		var bulk struct {
			Flags []struct {
				Key string
				evaluator.Answer
			}
		}
		if err := json.Unmarshal([]byte(answer), &bulk); err != nil || len(bulk.Flags) != len(names) {
			t.Fatalf("%v: %s", err, answer)
		}
		for j, name := range names {
			if want[i][j].Variant != "legacy" {
				modern++
			}
			if !reflect.DeepEqual(single[i][j], want[i][j]) || bulk.Flags[j].Key != name || !reflect.DeepEqual(bulk.Flags[j].Answer, want[i][j]) {
				t.Fatalf("%s for %v: the SDK gets %+v, who asks for all %+v, flagd gives %+v", name, c, single[i][j], bulk.Flags[j], want[i][j])
			}
		}
	}
	t.Logf("%d contexts, %d flags: %d answers alike, single and bulk; %d are not legacy", len(all), len(names), len(all)*len(names), modern)
	if modern < len(all) {
		t.Error("hardly anybody is on modern")
	}
}

func TestABulkThatIsKnownIsNotSentAgain(t *testing.T) {
	server := serve(t, plans{shop(t)})
	url := server.URL + "/ofrep/v1/evaluate/flags"
	ann, bob := `{"context":{"targetingKey":"ann"}}`, `{"context":{"targetingKey":"bob"}}`
	res, _ := post(t, url, ann)
	tag := res.Header.Get("ETag")
	for _, c := range []struct {
		body, match string
		code        int
	}{{ann, tag, 304}, {ann, `"other", W/` + tag, 304}, {bob, tag, 200}, {ann, `"other"`, 200}} {
		res, body := post(t, url, c.body, "If-None-Match", c.match)
		if res.StatusCode != c.code || (c.code == 304) != (body == "") {
			t.Errorf("%s with %s: %s %s", c.body, c.match, res.Status, body)
		}
	}
}

func TestWhatIsNoQuestionIsRefused(t *testing.T) {
	two := plans{set(t, "other", plan.Flag{Name: "checkout", Percent: share(100)}), shop(t)}
	server := serve(t, two)
	for _, c := range []struct {
		name, path, body string
		code             int
		want             string
	}{
		{"no such flag", "/ofrep/v1/evaluate/flags/chekout", "{}", 404, `"errorCode":"FLAG_NOT_FOUND"`},
		{"no such plan", "/plans/web/none/ofrep/v1/evaluate/flags/checkout", "{}", 404, `"errorCode":"FLAG_NOT_FOUND"`},
		{"no JSON", "/ofrep/v1/evaluate/flags/search", "{", 400, `"errorCode":"PARSE_ERROR"`},
		{"no object", "/ofrep/v1/evaluate/flags/search", `{"context":[1]}`, 400, `"errorCode":"INVALID_CONTEXT"`},
		{"a number as key", "/ofrep/v1/evaluate/flags/search", `{"context":{"targetingKey":5}}`, 400, `"errorCode":"INVALID_CONTEXT"`},
		{"too much", "/ofrep/v1/evaluate/flags", `{"context":{"a":"` + strings.Repeat("x", ofrep.MaxBody) + `"}}`, 413, `"errorCode":"PARSE_ERROR"`},
		{"a flag of two plans", "/ofrep/v1/evaluate/flags/checkout", "{}", 400, "plans web/other, web/shop have a flag of that name"},
		{"one of them", "/plans/web/other/ofrep/v1/evaluate/flags/checkout", "{}", 200, `"variant":"modern","value":true`},
		{"no context", "/ofrep/v1/evaluate/flags/everybody", "", 200, `"variant":"modern","value":true`},
		{"all of two plans", "/ofrep/v1/evaluate/flags", "{}", 200, `{"flags":[{"key":"checkout","errorCode":"GENERAL"`},
		{"all of one", "/plans/web/other/ofrep/v1/evaluate/flags", "{}", 200, `"flagSetId":"web/other"`},
		{"all of none", "/plans/web/none/ofrep/v1/evaluate/flags", "{}", 200, `{"flags":[]}`},
	} {
		if res, body := post(t, server.URL+c.path, c.body); res.StatusCode != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %s %s", c.name, res.Status, body)
		}
	}
	if res, body := post(t, serve(t, nil).URL+"/ofrep/v1/evaluate/flags/checkout", "{}"); res.StatusCode != 503 || !strings.Contains(body, "another leads") {
		t.Errorf("while nothing is worked on: %s %s", res.Status, body)
	}
	w := httptest.NewRecorder()
	ofrep.Handler(func() ofrep.Plans { return two }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ofrep/v1/evaluate/flags", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a GET: %d", w.Code)
	}
}

// Whatever is sent, the answer is JSON and no failure of the server.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{"", "{}", `{"context":{"targetingKey":"a","user":{"tier":"gold"}}}`, `{"context":{"user":[1]}}`, `[`} {
		f.Add([]byte(s))
	}
	all := plans{shop(f)}
	h := ofrep.Handler(func() ofrep.Plans { return all })
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags", bytes.NewReader(body)))
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
