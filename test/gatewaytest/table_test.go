package gatewaytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAPathPrefixEndsWithAnElement(t *testing.T) {
	for _, c := range []struct {
		kind, value, path string
		want              bool
	}{
		{"PathPrefix", "/", "/", true},
		{"PathPrefix", "/", "/anything", true},
		{"PathPrefix", "/abc", "/abc", true},
		{"PathPrefix", "/abc", "/abc/", true},
		{"PathPrefix", "/abc", "/abc/def", true},
		{"PathPrefix", "/abc", "/abcd", false},
		{"PathPrefix", "/abc/", "/abc", true},
		{"PathPrefix", "/abc/", "/abcd", false},
		{"PathPrefix", "/abc", "/ABC", false},
		{"PathPrefix", "/abc", "/x/abc", false},
		{"Exact", "/abc", "/abc", true},
		{"Exact", "/abc", "/abc/", false},
		{"Exact", "/abc/", "/abc", false},
	} {
		if got := (pathMatch{c.kind, c.value}).fits(c.path); got != c.want {
			t.Errorf("%s %q and %q: got %v", c.kind, c.value, c.path, got)
		}
	}
}

func TestHostnamesIntersect(t *testing.T) {
	for _, c := range []struct{ listener, route, want string }{
		{"", "", ""},
		{"", "a.example.com *.example.org", "a.example.com *.example.org"},
		{"test.example.com", "", "test.example.com"},
		{"test.example.com", "test.example.com other.example.com", "test.example.com"},
		{"test.example.com", "*.example.com other.example.com", "test.example.com"},
		{"*.example.com", "*.example.com test.example.com foo.test.example.com", "*.example.com test.example.com foo.test.example.com"},
		{"*.example.com", "*.test.example.com", "*.test.example.com"},
		{"*.test.example.com", "*.example.com", "*.test.example.com"},
		{"*.example.com", "example.com test.example.net", ""},
	} {
		if got := strings.Join(intersect(c.listener, strings.Fields(c.route)), " "); got != c.want {
			t.Errorf("%q and %q: got %q, want %q", c.listener, c.route, got, c.want)
		}
	}
}

func TestAPrefixIsReplacedAsTheTableOfTheGatewayAPISays(t *testing.T) {
	for _, c := range []struct{ path, prefix, replacement, want string }{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		{"/foo/a%20b", "/foo", "/xyz", "/xyz/a%20b"},
	} {
		if got := replacePrefix(c.path, c.prefix, c.replacement); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestADrawFollowsTheWeights(t *testing.T) {
	a := &action{total: 10, backends: []weighted{{weight: 0}, {weight: 9}, {weight: 0}, {weight: 1}, {weight: 0}}}
	var got []int64
	for point := range a.total {
		got = append(got, a.draw(point).weight)
	}
	if fmt.Sprint(got) != "[9 9 9 9 9 9 9 9 9 1]" {
		t.Errorf("got weights %v", got)
	}
	if a.draw(10) != nil {
		t.Error("a point beyond the total has a backend")
	}
}

// TestPrecedence has a pair of matches in each row; the first is to win, in
// whichever order they stand.
func TestPrecedence(t *testing.T) {
	old, late := time.Unix(1000, 0), time.Unix(2000, 0)
	prefix := func(v string) pathMatch { return pathMatch{"PathPrefix", v} }
	exact := func(v string) pathMatch { return pathMatch{"Exact", v} }
	values := func(names ...string) (all []valueMatch) {
		for _, n := range names {
			all = append(all, valueMatch{Name: n, Value: "1"})
		}
		return all
	}
	for name, c := range map[string]struct{ wins, loses entry }{
		"an exact path over a prefix that is longer": {
			entry{match: routeMatch{Path: exact("/a/b")}}, entry{match: routeMatch{Path: prefix("/a/b/")}},
		},
		"an exact path over a prefix with everything else": {
			entry{match: routeMatch{Path: exact("/a/b")}},
			entry{match: routeMatch{Path: prefix("/a"), Method: "GET", Headers: values("H1", "H2"), QueryParams: values("q1")}},
		},
		"the longer prefix over a method": {
			entry{match: routeMatch{Path: prefix("/a/b")}}, entry{match: routeMatch{Path: prefix("/a"), Method: "GET"}},
		},
		"a method over headers": {
			entry{match: routeMatch{Path: prefix("/a"), Method: "GET"}}, entry{match: routeMatch{Path: prefix("/a"), Headers: values("H1", "H2")}},
		},
		"more headers over fewer with parameters": {
			entry{match: routeMatch{Path: prefix("/a"), Headers: values("H1", "H2")}},
			entry{match: routeMatch{Path: prefix("/a"), Headers: values("H1"), QueryParams: values("q1", "q2")}},
		},
		"more parameters over fewer": {
			entry{match: routeMatch{Path: prefix("/a"), QueryParams: values("q1", "q2")}}, entry{match: routeMatch{Path: prefix("/a"), QueryParams: values("q1")}},
		},
		"the older route": {
			entry{match: routeMatch{Path: prefix("/a")}, created: old, route: "z/z", rule: 5}, entry{match: routeMatch{Path: prefix("/a")}, created: late, route: "a/a"},
		},
		"the first name": {
			entry{match: routeMatch{Path: prefix("/a")}, route: "a/b", rule: 5}, entry{match: routeMatch{Path: prefix("/a")}, route: "b/a"},
		},
		"the first rule":  {entry{match: routeMatch{Path: prefix("/a")}, rule: 0, nth: 9}, entry{match: routeMatch{Path: prefix("/a")}, rule: 1}},
		"the first match": {entry{match: routeMatch{Path: prefix("/a")}, nth: 0}, entry{match: routeMatch{Path: prefix("/a")}, nth: 1}},
		"an exact host over a wildcard with a longer path": {
			entry{host: "a.io", match: routeMatch{Path: prefix("/")}}, entry{host: "*.io", match: routeMatch{Path: exact("/a/b")}},
		},
		"the longer wildcard over the shorter": {
			entry{host: "*.a.io", match: routeMatch{Path: prefix("/")}}, entry{host: "*.io", match: routeMatch{Path: exact("/a/b")}},
		},
		"a wildcard over no host": {
			entry{host: "*.io", match: routeMatch{Path: prefix("/")}}, entry{match: routeMatch{Path: exact("/a/b")}},
		},
	} {
		host := "a.io"
		if c.wins.host == "*.a.io" {
			host = "x.a.io"
		}
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/a/b?q1=1&q2=1", nil)
		r.Header = http.Header{"H1": {"1"}, "H2": {"1"}}
		c.wins.action, c.loses.action = &action{total: 1}, &action{total: 2}
		for _, e := range []entry{c.wins, c.loses} {
			if find([]entry{e}, r) == nil {
				t.Fatalf("%s: one of the two does not fit the request, so that the row shows nothing: %+v", name, e)
			}
		}
		for _, entries := range [][]entry{{c.wins, c.loses}, {c.loses, c.wins}} {
			order(entries)
			if got := find(entries, r); got == nil || got.action.total != 1 {
				t.Errorf("%s: the other one won", name)
			}
		}
	}
}

func TestAMatchNeedsAllOfIt(t *testing.T) {
	e := entry{match: routeMatch{
		Path: pathMatch{"PathPrefix", "/orders"}, Method: "POST",
		Headers: []valueMatch{{Name: "X-Version", Value: "2"}, {Name: "X-Many", Value: "a,b"}}, QueryParams: []valueMatch{{Name: "dry", Value: "yes"}},
	}}
	request := func(method, path string, header http.Header) *http.Request {
		u, err := url.Parse("http://any" + path)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{Method: method, URL: u, Header: header}
	}
	full := http.Header{"X-Version": {"2"}, "X-Many": {"a", "b"}}
	for _, c := range []struct {
		r    *http.Request
		want bool
	}{
		{request("POST", "/orders/1?dry=yes", full), true},
		{request("POST", "/orders/1?dry=yes&dry=no", full), true}, // the first counts
		{request("GET", "/orders/1?dry=yes", full), false},
		{request("POST", "/others?dry=yes", full), false},
		{request("POST", "/orders?dry=no", full), false},
		{request("POST", "/orders", full), false},
		{request("POST", "/orders?dry=yes", http.Header{"X-Version": {"2"}}), false},
		{request("POST", "/orders?dry=yes", http.Header{"X-Version": {"22"}, "X-Many": {"a", "b"}}), false},
	} {
		if got := e.fits(c.r, c.r.URL.Query()); got != c.want {
			t.Errorf("%s %s %v: got %v", c.r.Method, c.r.URL, c.r.Header, got)
		}
	}
}
