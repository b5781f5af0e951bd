package translate_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates/celjson"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

// reference is the plan of the ONAP document, as it stands in render/bridge.
func reference(t testing.TB, name string) *translate.Translation {
	t.Helper()
	src, err := os.ReadFile("../bridge/testdata/translate.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("translate.in.yaml", src)
	problems = append(problems, translate.Check(doc)...)
	if len(problems) > 0 {
		t.Fatalf("the reference plan has problems: %v", problems)
	}
	return compiled(t, name, doc.Plan.Spec.Translations[name])
}

func compiled(t testing.TB, name string, tr plan.Translation) *translate.Translation {
	t.Helper()
	out, err := translate.Compile(name, tr)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decoded(t testing.TB, body string) any {
	t.Helper()
	v, err := celjson.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const legacyCreate = `{"requestDetails": {"modelInfo": {"modelType": "service", "modelName": "vFW-service"},
	"cloudConfiguration": {"lcpCloudRegionId": "RegionOne", "tenantId": "tenant-123"}}}`

func TestTheReferenceRequestBecomesTheModernOne(t *testing.T) {
	tr := reference(t, "create")
	r := &translate.Request{Method: "POST", Path: "/ecomp/mso/infra/serviceInstances/v2", Body: decoded(t, legacyCreate)}
	got, err := tr.Request(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := translate.RequestChange{Path: "/deployments", SetsBody: true,
		Body: []byte(`{"cloud_region":"RegionOne","name":"vFW-service-instance-1","parameters":{},"template":"vFW-service"}`)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}

	answer, err := tr.Response(t.Context(), r, &translate.Response{Status: 201, Body: decoded(t, `{"id": "12345", "status": "PENDING"}`)})
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer := translate.ResponseChange{Status: 202, SetsBody: true, Header: []translate.Set{{Name: "X-Request-Id", Values: []string{"12345"}}},
		Body: []byte(`{"requestReferences":{"instanceId":"12345","requestId":"12345"}}`)}
	if d := cmp.Diff(wantAnswer, answer); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}

	answer, err = tr.Response(t.Context(), r, &translate.Response{Status: 422, Body: decoded(t, `{"detail": "no such region"}`)})
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer = translate.ResponseChange{Status: 422, SetsBody: true, Header: []translate.Set{{Name: "X-Request-Id"}},
		Body: []byte(`{"requestError":{"serviceException":{"messageId":"SVC422","text":"no such region"}}}`)}
	if d := cmp.Diff(wantAnswer, answer); d != "" {
		t.Errorf("error (-want +got):\n%s", d)
	}
}

func TestTheReferenceDeploymentBecomesAServiceInstance(t *testing.T) {
	tr := reference(t, "one")
	r := &translate.Request{Method: "GET", Path: "/ecomp/mso/infra/serviceInstances/v2/12345",
		Segments: []string{"ecomp", "mso", "infra", "serviceInstances", "v2", "12345"}, Query: map[string]string{"format": "xml"}}
	got, err := tr.Request(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(translate.RequestChange{Path: "/deployments/12345", SetsBody: true, Query: []translate.Set{{Name: "format"}}}, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
	answer, err := tr.Response(t.Context(), r, &translate.Response{Status: 200, Body: decoded(t, `{"id": "12345", "name": "my-service", "status": "COMPLETED",
		"template": "firewall-service", "resources": {"network_id": "net-1", "vm_ids": ["vnf-1", "vnf-2"]}, "metadata": {"migrated_from_legacy": true}}`)})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"networks":[{"network-id":"net-1"}],"orchestration-status":"Active","service-instance-id":"12345","service-instance-name":"my-service","vnfs":[{"vnf-id":"vnf-1"},{"vnf-id":"vnf-2"}]}`
	if string(answer.Body) != want || answer.Status != 0 {
		t.Errorf("answer %d %s, want %s", answer.Status, answer.Body, want)
	}
}

func drawJSON(t *rapid.T, depth int) any {
	most := 5
	if depth == 0 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.OneOf(rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f })).Draw(t, "number")
	case 3:
		return rapid.String().Draw(t, "text")
	case 4:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			out = append(out, drawJSON(t, depth-1))
		}
		return out
	}
	out := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "n") {
		out[rapid.String().Draw(t, "key")] = drawJSON(t, depth-1)
	}
	return out
}

func TestATranslationThatNamesNothingChangesNothing(t *testing.T) {
	empty := compiled(t, "empty", plan.Translation{Request: &plan.RequestMapping{}, Response: &plan.ResponseMapping{}})
	rapid.Check(t, func(t *rapid.T) {
		r := &translate.Request{Method: "PUT", Path: "/a", Body: drawJSON(t, 3)}
		got, err := empty.Request(context.Background(), r)
		if d := cmp.Diff(translate.RequestChange{}, got); d != "" || err != nil {
			t.Fatalf("request: error %v (-want +got):\n%s", err, d)
		}
		answer, err := empty.Response(context.Background(), r, &translate.Response{Status: 200, Body: drawJSON(t, 3)})
		if d := cmp.Diff(translate.ResponseChange{}, answer); d != "" || err != nil {
			t.Fatalf("answer: error %v (-want +got):\n%s", err, d)
		}
	})
	if empty.ReadsRequestBody() || empty.ReadsResponseBody() {
		t.Error("it needs a body")
	}
}

func TestABodyThatIsItselfMeansTheSame(t *testing.T) {
	same := compiled(t, "same", plan.Translation{Request: &plan.RequestMapping{Body: "[request.body]"}})
	rapid.Check(t, func(t *rapid.T) {
		v := drawJSON(t, 4)
		got, err := same.Request(context.Background(), &translate.Request{Body: v})
		if err != nil {
			t.Fatal(err)
		}
		back, err := celjson.Decode(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]any{asRead(v)}, back); d != "" {
			t.Fatalf("%s (-want +got):\n%s", got.Body, d)
		}
	})
}

// asRead is a value as it is read back: JSON does not tell 1.0 from 1.
func asRead(v any) any {
	switch x := v.(type) {
	case float64:
		if x == float64(int64(x)) {
			return int64(x)
		}
	case []any:
		for i := range x {
			x[i] = asRead(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = asRead(x[k])
		}
	}
	return v
}

func TestWhatFailsNamesTheFieldAndNoValue(t *testing.T) {
	const secret = "hunter2"
	body := `{"secret": "` + secret + `", "list": ["a"], "n": 1, "f": 1.5, "zero": 0, "deep": ` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `,
		"up": "../admin", "nul": "/a\u0000b", "crlf": "a\r\nX-Admin: 1", "long": "` + strings.Repeat("x", 9000) + `"}`
	for _, c := range []struct {
		m           plan.RequestMapping
		field, want string
	}{
		{plan.RequestMapping{Body: "request.body.missing"}, "request.body", "a field or key that it reads is not there"},
		{plan.RequestMapping{Body: "request.body[request.body.secret]"}, "request.body", "a field or key that it reads is not there"},
		{plan.RequestMapping{Body: "request.body.list[7]"}, "request.body", "a list is shorter than it takes"},
		{plan.RequestMapping{Body: "int(request.body.secret)"}, "request.body", "a value could not be"},
		{plan.RequestMapping{Body: "request.body.n / request.body.zero"}, "request.body", "it divides by zero"},
		{plan.RequestMapping{Body: "request.body.secret + request.body.n"}, "request.body", "a value is not of the type"},
		{plan.RequestMapping{Body: "1.0 / 0.0"}, "request.body", "a number is not finite"},
		{plan.RequestMapping{Body: "{1: 2}"}, "request.body", "a key of a map is no text"},
		{plan.RequestMapping{Body: "{'a': [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[request.body.deep]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"}, "request.body", "nested more than 100 deep"},
		{plan.RequestMapping{Method: "request.body.secret"}, "request.method", "the method is no upper-case word"},
		{plan.RequestMapping{Method: "'CONNECT'"}, "request.method", "CONNECT and TRACE are not sent"},
		{plan.RequestMapping{Method: "request.body.n"}, "request.method", "the method is no text"},
		{plan.RequestMapping{Path: "request.body.secret"}, "request.path", "the path does not begin with /"},
		{plan.RequestMapping{Path: "'/x/' + request.body.up"}, "request.path", "a segment . or .."},
		{plan.RequestMapping{Path: "'/x/..;a/b'"}, "request.path", "a segment . or .."},
		{plan.RequestMapping{Path: `'/x\\..\\y'`}, "request.path", "a segment . or .."},
		{plan.RequestMapping{Path: "'/x//y'"}, "request.path", "an empty segment"},
		{plan.RequestMapping{Path: "['x', request.body.up]"}, "request.path", "a segment . or .."},
		{plan.RequestMapping{Path: "['x', '']"}, "request.path", "a segment of the path is empty"},
		{plan.RequestMapping{Path: "request.body.nul"}, "request.path", "a control character"},
		{plan.RequestMapping{Path: "'/' + request.body.long"}, "request.path", "longer than 8192 bytes"},
		{plan.RequestMapping{Path: "request.body.n"}, "request.path", "neither a text nor a list"},
		{plan.RequestMapping{Headers: map[string]string{"X-A": "request.body.crlf"}}, "request.headers.X-A", "a control character"},
		{plan.RequestMapping{Headers: map[string]string{"X-A": "request.body.long"}}, "request.headers.X-A", "longer than 8192 bytes"},
		{plan.RequestMapping{Headers: map[string]string{"X-A": "[request.body.list]"}}, "request.headers.X-A", "neither a text nor a number"},
		{plan.RequestMapping{Query: map[string]string{"q": "request.body.list.map(x, request.body)"}}, "request.query.q", "neither a text nor a number"},
	} {
		tr := compiled(t, "t", plan.Translation{Request: &c.m})
		_, err := tr.Request(t.Context(), &translate.Request{Method: "POST", Path: "/", Body: decoded(t, body)})
		var f *translate.Failure
		switch {
		case !errors.As(err, &f):
			t.Errorf("%+v: error %v, want a failure", c.m, err)
		case f.Field != c.field || f.Translation != "t" || !strings.Contains(f.Why, c.want):
			t.Errorf("%+v: %v, want field %s and %q", c.m, err, c.field, c.want)
		case strings.Contains(err.Error(), secret):
			t.Errorf("%+v: %v shows a value", c.m, err)
		}
	}
}

func TestValuesOfHeadersParametersAndPaths(t *testing.T) {
	tr := compiled(t, "t", plan.Translation{Request: &plan.RequestMapping{
		Method: "request.method == 'GET' ? 'POST' : request.method",
		Path:   "['a b', request.body.id, 'é']",
		Query:  map[string]string{"n": "request.body.n", "gone": "null", "none": "request.query[?'x']", "many": "['a', 'b c']", "f": "1.25", "t": "true"},
		Headers: map[string]string{
			"X-Blank": "' a '", "X-None": "optional.none()", "X-Tenant": "request.headers['x-old']",
		},
	}})
	got, err := tr.Request(t.Context(), &translate.Request{Method: "GET", Path: "/", Headers: map[string]string{"x-old": "t1"}, Query: map[string]string{},
		Body: decoded(t, `{"id": "7/8?#%", "n": 18446744073709551615}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := translate.RequestChange{
		Method: "POST", Path: "/a%20b/7%2F8%3F%23%25/%C3%A9",
		Query: []translate.Set{
			{Name: "f", Values: []string{"1.25"}}, {Name: "gone"}, {Name: "many", Values: []string{"a", "b c"}},
			{Name: "n", Values: []string{"18446744073709551615"}}, {Name: "none"}, {Name: "t", Values: []string{"true"}},
		},
		Header: []translate.Set{{Name: "X-Blank", Values: []string{"a"}}, {Name: "X-None"}, {Name: "X-Tenant", Values: []string{"t1"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
}

func TestBodiesThatAreNoJSONAreRefused(t *testing.T) {
	for src, want := range map[string]error{
		"": nil, " \n": nil, "null": nil, `{"a": [1, 2.5, "x"]}`: nil, `"[[[["`: nil,
		"{": celjson.ErrJSON, "{} {}": celjson.ErrJSON, "{}x": celjson.ErrJSON, "NaN": celjson.ErrJSON, "1e999": celjson.ErrJSON, `{'a': 1}`: celjson.ErrJSON, "\x00": celjson.ErrJSON,
		strings.Repeat("[", 100) + strings.Repeat("]", 100): nil,
		strings.Repeat("[", 101) + strings.Repeat("]", 101): celjson.ErrDepth,
		strings.Repeat(`{"a":`, 100_000):                    celjson.ErrDepth,
		`["\"", ` + strings.Repeat("[", 100) + `]`:          celjson.ErrDepth,
	} {
		if _, err := celjson.Decode([]byte(src)); !errors.Is(err, want) {
			t.Errorf("%.20q: error %v, want %v", src, err, want)
		}
	}
}

func TestWhatARequestHoldsCannotMakeATranslationRunAway(t *testing.T) {
	big := "[" + strings.Repeat("[1,2,3],", 100_000) + "1]"
	body := decoded(t, `{"list": `+big+`, "text": "`+strings.Repeat("x", 500_000)+`"}`)
	for _, expr := range []string{
		"request.body.list.map(x, request.body.list)",
		"request.body.list.map(x, request.body.list.exists(y, y == x))",
		"request.body.list.map(x, request.body.text)",
		"[request.body.text, request.body.text, request.body.text]",
		"request.body.text.split('')",
		"request.body.list.filter(x, request.body.text.contains('xxxxxxxxxy'))",
	} {
		tr, err := translate.Compile("t", plan.Translation{Request: &plan.RequestMapping{Body: expr}})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), translate.MaxTime)
		out, err := tr.Request(ctx, &translate.Request{Body: body})
		cancel()
		var f *translate.Failure
		if !errors.As(err, &f) || !strings.Contains(f.Why, "larger than maxBody") && !strings.Contains(f.Why, "too many steps") && !strings.Contains(f.Why, "too long") {
			t.Errorf("%s: error %v with %d bytes, want one about size, steps or time", expr, err, len(out.Body))
		}
	}
}
