package route_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/bridge"
)

var (
	stop   = plan.Position{Phase: "gradual", Percent: 25}
	client = netip.MustParseAddr("192.0.2.7")
)

func planOf(id *plan.Identity, routes ...plan.Route) *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: "so", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: "http://127.0.0.1:1"}, Modern: plan.Backend{URL: "http://127.0.0.1:2"}},
			Identity: id,
			Phases:   []plan.Phase{{Name: "gradual", Percents: []plan.Percent{10, 25, 50, 100}, Routes: routes}},
		},
	}
}

func tableOf(t testing.TB, p *plan.Plan, at plan.Position) *route.Table {
	t.Helper()
	c, err := bridge.Render(p, at)
	if err != nil {
		t.Fatal(err)
	}
	table, err := route.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func choose(t testing.TB, id *plan.Identity, r *http.Request) plan.Side {
	t.Helper()
	return tableOf(t, planOf(id, plan.Route{To: plan.ToSplit}), stop).Choose(r, client).Side
}

// sideOf is the side of a key by the published function.
func sideOf(salt, key string, p plan.Percent) plan.Side {
	if plan.OnModern(plan.Bucket(salt, key), p) {
		return plan.Modern
	}
	return plan.Legacy
}

var methods = []string{"GET", "POST", "DELETE", "PATCH"}

func drawMatch(t *rapid.T) *plan.Match {
	if rapid.IntRange(0, 4).Draw(t, "all") == 0 {
		return nil
	}
	m := &plan.Match{Methods: rapid.SliceOfNDistinct(rapid.SampledFrom(methods), 0, 3, rapid.ID).Draw(t, "methods")}
	switch p := drawPath(t); rapid.IntRange(0, 3).Draw(t, "kind") {
	case 1:
		m.Path = p
	case 2:
		m.PathPrefix = p
	case 3:
		m.PathRegex = rapid.SampledFrom([]string{"^/a", "b$", "^/a/[bc]/?$", "(?i)A"}).Draw(t, "regex")
	}
	if rapid.Bool().Draw(t, "header") {
		m.Headers = map[string]string{"x-beta": rapid.SampledFrom([]string{"yes", "no"}).Draw(t, "value")}
	}
	return m
}

func drawPath(t *rapid.T) string {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3).Draw(t, "segments")
	return "/" + strings.Join(segments, "/") + rapid.SampledFrom([]string{"", "/"}).Draw(t, "end")
}

func drawRoute(t *rapid.T) plan.Route {
	r := plan.Route{Match: drawMatch(t)}
	switch rapid.IntRange(0, 4).Draw(t, "to") {
	case 0:
		r.To = plan.ToLegacy
	case 1:
		r.To = plan.ToModern
	case 2:
		r.To = plan.ToSplit
	case 3:
		p := plan.Percent(rapid.IntRange(0, 10000).Draw(t, "percent")) / 100
		r.To, r.Percent = plan.ToSplit, &p
	case 4:
		r.Respond = &plan.Respond{Status: 410}
	}
	return r
}

func drawRequest(t *rapid.T) *http.Request {
	r := httptest.NewRequest(rapid.SampledFrom(methods).Draw(t, "method"), drawPath(t), nil)
	if rapid.Bool().Draw(t, "beta") {
		r.Header.Set("X-Beta", rapid.SampledFrom([]string{"yes", "no"}).Draw(t, "beta value"))
	}
	r.Header.Set("X-Tenant", rapid.StringN(1, 20, -1).Draw(t, "tenant"))
	return r
}

// reference says what render.Resolve's rules mean, in as few words as can be.
func reference(rules []render.Rule, r *http.Request) (int, plan.Side, *plan.Respond) {
	for i, ru := range rules {
		m := ru.Match
		ok := len(m.Methods) == 0 || slices.Contains(m.Methods, r.Method)
		ok = ok && (m.Path == "" || r.URL.Path == m.Path)
		ok = ok && strings.HasPrefix(r.URL.Path, m.PathPrefix)
		ok = ok && regexp.MustCompile(m.PathRegex).MatchString(r.URL.Path)
		for k, v := range m.Headers {
			ok = ok && r.Header.Get(k) == v
		}
		switch {
		case !ok:
		case ru.Split:
			return i, sideOf("so", r.Header.Get("X-Tenant"), ru.Percent), nil
		default:
			return i, ru.Side, ru.Respond
		}
	}
	return -1, "", nil
}

func TestChoiceMeansWhatResolveSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := planOf(&plan.Identity{Header: "x-tenant"}, rapid.SliceOfN(rapid.Custom(drawRoute), 0, 6).Draw(t, "routes")...)
		at := rapid.SampledFrom(p.Itinerary()).Draw(t, "stop")
		rules, err := render.Resolve(p, at)
		if err != nil {
			t.Fatal(err)
		}
		c, err := bridge.Render(p, at)
		if err != nil {
			t.Fatal(err)
		}
		table, err := route.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			r := drawRequest(t)
			got := table.Choose(r, client)
			i, side, respond := reference(rules, r)
			if got.Rule != i || got.Side != side || (got.Respond == nil) != (respond == nil) {
				t.Fatalf("%s %s chose rule %d, side %q, respond %v; want rule %d, side %q, respond %v of %+v",
					r.Method, r.URL, got.Rule, got.Side, got.Respond, i, side, respond, rules)
			}
		}
	})
}

func TestAPathIsMatchedAsABackendReadsIt(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"/deployments", "/deployments"},
		{"/deployments/", "/deployments/"},
		{"/deploy%6Dents/7", "/deployments/7"},
		{"/a%2Fb", "/a/b"},
		{"/a%2fb/%63/%2F/", "/a/b/c/"},
		{"/a%252Fb%2F.", "/a%2Fb/"},
		{"/a%23%3F", "/a#?"},
		{"/\xff%fe", "/\xff\xfe"},
		{"//a///b", "/a/b"},
		{"/x/../deployments", "/deployments"},
		{"/x/%2e%2e/deployments", "/deployments"},
		{"/a/./b/.", "/a/b/"},
		{"/a/b/..", "/a/"},
		{"/a/b/../..", "/"},
		{"/...", "/..."},
		{"/a..", "/a.."},
		{"/.well-known/x", "/.well-known/x"},
		{"/a%20b%25", "/a b%"},
		{"/", "/"},
		{"http://example.com", "/"},
	} {
		r := httptest.NewRequest("GET", c.target, nil)
		if got, ok := route.Path(r.URL); got != c.want || !ok {
			t.Errorf("path of %q is %q, %t, want %q", c.target, got, ok, c.want)
		}
	}
}

func TestARequestThatServersReadDifferentlyIsRefused(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/..", 400},
		{"GET", "/a/../../b", 400},
		{"GET", "/a/%2e%2e/..", 400},
		{"GET", "/a%00b", 400},
		{"GET", "/a#b", 400},
		{"GET", "/a?b#c", 400},
		{"GET", "*", 400},
		{"GET", "/old/%2F..%2f..%2Fnew", 400}, // a backend that keeps %2F stays below /old/
		{"GET", "/new/old%2Fx/../y", 400},
		{"GET", "/old%2f%2E.", 400},
		{"GET", "/old%2F..x/...?a=%2F../", 0},
		{"GET", "/old/../x?a=%2F", 0},
		{"post", "/", 400},
		{"P0ST", "/", 400},
		{"TRACE", "/", 405},
		{"CONNECT", "/", 405},
		{"MERGE_X-Y", "/", 0},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := url.ParseRequestURI(c.target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.Method = u, c.method
		if got, why := route.Refuse(r); got != c.status || (why == "") != (got == 0) {
			t.Errorf("%s %s is refused by %d %q, want %d", c.method, c.target, got, why, c.status)
		}
	}
}

func TestAnExpressionReadsEachByteOfAPathThatIsNoUTF8(t *testing.T) {
	table := tableOf(t, planOf(nil,
		plan.Route{Match: &plan.Match{PathRegex: "^/é.$"}, Respond: &plan.Respond{Status: 410}},
		plan.Route{To: plan.ToModern}), stop)
	for target, want := range map[string]bool{"/%C3%A9x": true, "/%E9x": true, "/%E9%FF": true, "/%C3%A9%FF": false, "/%C3%A9": false} {
		if got := table.Choose(httptest.NewRequest("GET", target, nil), client); (got.Respond != nil) != want {
			t.Errorf("%q matches: %t, want %t", target, !want, want)
		}
	}
}

func TestNoSpellingOfAPathSlipsPastItsRule(t *testing.T) {
	table := tableOf(t, planOf(nil,
		plan.Route{Match: &plan.Match{PathPrefix: "/mso/"}, Respond: &plan.Respond{Status: 410}},
		plan.Route{To: plan.ToModern}), stop)
	for _, target := range []string{"/mso/x", "//mso/x", "/./mso/x", "/%6dso/x", "/y/../mso/x", "/y/%2E%2E/mso/x", "/mso//x", "/mso%2Fx", "/%2fmso/x"} {
		if got := table.Choose(httptest.NewRequest("POST", target, nil), client); got.Respond == nil {
			t.Errorf("%q went to %s, want it answered", target, got.Side)
		}
	}
}

func TestEveryKindOfIdentityFindsItsKey(t *testing.T) {
	for i := range 200 {
		key := "caller-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + " &=é"
		want := sideOf("so", key, 25)

		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Tenant-Id", key)
		r.Header.Add("X-Tenant-Id", "second values do not count")
		if got := choose(t, &plan.Identity{Header: "x-tenant-id"}, r); got != want {
			t.Fatalf("header %q went to %s, want %s", key, got, want)
		}

		r = httptest.NewRequest("GET", "/", nil)
		q := r.URL.Query()
		q.Add("other", "1")
		q.Add("tenant id", key)
		q.Add("tenant id", "second")
		r.URL.RawQuery = q.Encode()
		if got := choose(t, &plan.Identity{Query: "tenant id"}, r); got != want {
			t.Fatalf("query %q went to %s, want %s", key, got, want)
		}

		plain := strings.Trim(key, " &=é")
		r = httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "other", Value: "1"})
		r.AddCookie(&http.Cookie{Name: "sid", Value: plain})
		if got := choose(t, &plan.Identity{Cookie: "sid"}, r); got != sideOf("so", plain, 25) {
			t.Fatalf("cookie %q went to %s", plain, got)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	if got := choose(t, &plan.Identity{ClientIP: true}, r); got != sideOf("so", "192.0.2.7", 25) {
		t.Errorf("client 192.0.2.7 went to %s", got)
	}
	r.Host = "a.example.com"
	if got := choose(t, &plan.Identity{Header: "Host"}, r); got != sideOf("so", "a.example.com", 25) {
		t.Errorf("host a.example.com went to %s", got)
	}
}

func TestACohortSaltsTheBucket(t *testing.T) {
	differ := 0
	for i := range 500 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-T", strings.Repeat("k", i))
		if choose(t, &plan.Identity{Header: "X-T", Cohort: "other"}, r) != choose(t, &plan.Identity{Header: "X-T"}, r) {
			differ++
		}
	}
	if differ == 0 {
		t.Error("no caller changed sides with another cohort")
	}
}

func TestCallersWithoutAKeyAreNeverAllOnOneSide(t *testing.T) {
	for name, id := range map[string]*plan.Identity{
		"no identity": nil, "header": {Header: "X-T"}, "cookie": {Cookie: "c"}, "query": {Query: "q"},
	} {
		table := tableOf(t, planOf(id, plan.Route{To: plan.ToSplit}), stop)
		modern := 0
		const n = 4000
		for range n {
			if table.Choose(httptest.NewRequest("GET", "/?p=1", nil), netip.Addr{}).Side == plan.Modern {
				modern++
			}
		}
		// Six standard deviations around 25 %.
		if modern < n/4-165 || modern > n/4+165 {
			t.Errorf("%s: %d of %d on modern, want about %d", name, modern, n, n/4)
		}
	}
}

func TestACallerOnModernStaysThereAsThePercentageRises(t *testing.T) {
	p := planOf(&plan.Identity{Header: "X-T"}, plan.Route{To: plan.ToSplit})
	var tables []*route.Table
	for _, at := range p.Itinerary() {
		tables = append(tables, tableOf(t, p, at))
	}
	rapid.Check(t, func(t *rapid.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-T", rapid.StringN(1, 40, -1).Draw(t, "key"))
		was := plan.Legacy
		for i, table := range tables {
			side := table.Choose(r, client).Side
			if was == plan.Modern && side != plan.Modern {
				t.Fatalf("caller %q left modern at stop %d", r.Header.Get("X-T"), i)
			}
			was = side
		}
		if was != plan.Modern {
			t.Fatal("a caller is not on modern at 100 %")
		}
	})
}

func BenchmarkChoose(b *testing.B) {
	routes := []plan.Route{
		{Match: &plan.Match{Methods: []string{"POST"}, Path: "/deployments"}, To: plan.ToModern},
		{Match: &plan.Match{Methods: []string{"DELETE"}, PathPrefix: "/deployments/"}, To: plan.ToLegacy},
		{Match: &plan.Match{PathRegex: "^/v[0-9]+/internal/"}, To: plan.ToLegacy},
		{To: plan.ToSplit},
	}
	for _, c := range []struct {
		name string
		id   *plan.Identity
	}{
		{"header", &plan.Identity{Header: "X-Tenant-ID"}},
		{"cookie", &plan.Identity{Cookie: "sid"}},
		{"query", &plan.Identity{Query: "tenant"}},
		{"clientIP", &plan.Identity{ClientIP: true}},
		{"random", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			table := tableOf(b, planOf(c.id, routes...), stop)
			r := httptest.NewRequest("GET", "/deployments/0b1c?a=1&tenant=tenant-1234567", nil)
			r.Header.Set("X-Tenant-ID", "tenant-1234567")
			r.AddCookie(&http.Cookie{Name: "sid", Value: "tenant-1234567"})
			b.ReportAllocs()
			for b.Loop() {
				table.Choose(r, client)
			}
		})
	}
}
