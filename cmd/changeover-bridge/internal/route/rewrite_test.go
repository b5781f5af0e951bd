package route

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

func TestAPathIsRewritten(t *testing.T) {
	for _, c := range []struct {
		match    plan.Match
		to       string
		in, want string
	}{
		{plan.Match{Path: "/orders"}, "/v2/orders", "/orders", "/v2/orders"},
		{plan.Match{Path: "/orders"}, "/v2/or ders", "/orders", "/v2/or%20ders"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/v1/a/b", "/v2/a/b"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2", "/v1/a", "/v2/a"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2", "/v1/", "/v2/"},
		{plan.Match{PathPrefix: "/v1/"}, "/", "/v1/a", "/a"},
		{plan.Match{PathPrefix: "/v1"}, "/", "/v1/a", "/a"},
		{plan.Match{PathPrefix: "/v1"}, "/v2", "/v1", "/v2"},
		{plan.Match{PathPrefix: "/v1"}, "/v2", "/v1beta/a", "/v2beta/a"},
		{plan.Match{PathPrefix: "/"}, "/v2", "/a", "/v2/a"},
		// What stays is as the client wrote it.
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/v1/a%2Fb%20c,d", "/v2/a%2Fb%20c,d"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/%761/a%2Fb", "/v2/a%2Fb"},
		{plan.Match{PathPrefix: "/ä/"}, "/v2/", "/%C3%A4/x", "/v2/x"},
		// But for what rules do not see.
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "//v1//a%2Fb", "/v2/a%2Fb"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/v1/./a", "/v2/a"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/x/../v1/a", "/v2/a"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/x/%2e%2E/v1/a", "/v2/a"},
		{plan.Match{PathPrefix: "/v1/"}, "/v2/", "/v1/a/%2e%2e/%2e%2e/v1/b", "/v2/b"},
	} {
		r := httptest.NewRequest(http.MethodGet, c.in, nil)
		table, err := Compile(sealed(t, bridge.Rule{Match: &c.match, To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: c.to}}))
		if err != nil {
			t.Fatal(err)
		}
		choice := table.Choose(r, netip.Addr{})
		if choice.Rule != 0 {
			t.Errorf("%s is not matched by %+v", c.in, c.match)
			continue
		}
		choice.Rewrite.Apply(r)
		if got := r.URL.EscapedPath(); got != c.want {
			t.Errorf("%s by %+v to %s: %s, want %s", c.in, c.match, c.to, got, c.want)
		}
	}
}

// FuzzARewriteNeverLeavesItsTarget: whatever the client writes, a path that is
// rewritten begins with what the plan says, and has no more dot segments than
// rules see.
func FuzzARewriteNeverLeavesItsTarget(f *testing.F) {
	for _, seed := range []string{"/v1/a", "//v1/../v1/x", "/v1/%2e%2e/v1/a", "/v1/..%2fx", "/v1/%", "/v1/%2", "/%761/%2F", "/v1//..//v1/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := http.NewRequest(http.MethodGet, "http://shop.example.com"+in, nil)
		if err != nil || r.URL.Host != "shop.example.com" {
			return // no server would take it
		}
		table, err := Compile(sealed(t, bridge.Rule{Match: &plan.Match{PathPrefix: "/v1/"}, To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/v2/"}}))
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := Refuse(r); code != 0 {
			return
		}
		before, _ := Path(r.URL)
		choice := table.Choose(r, netip.Addr{})
		if choice.Rewrite == nil {
			return
		}
		choice.Rewrite.Apply(r)
		after, ok := Path(r.URL)
		if want := "/v2/" + before[len("/v1/"):]; !ok || after != want {
			t.Errorf("%q, which rules see as %q, is sent as %q, which they see as %q, want %q", in, before, r.URL.EscapedPath(), after, want)
		}
	})
}

// sealed is a config with its hash.
func sealed(t testing.TB, rules ...bridge.Rule) bridge.Config {
	t.Helper()
	c := bridge.Config{
		Version: bridge.Version, Salt: "so", Plan: plan.Key{Namespace: "default", Name: "so"}, Stop: plan.Position{Phase: "shadow"},
		Backends: plan.Backends{Legacy: plan.Backend{URL: "http://legacy"}, Modern: plan.Backend{URL: "http://modern"}},
		Rules:    append(rules, bridge.Rule{To: plan.ToLegacy}),
	}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	return c
}
