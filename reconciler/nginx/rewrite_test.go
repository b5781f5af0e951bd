package nginx_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// TestAPathIsRewritten as the bridge does it (cmd/changeover-bridge/internal/route),
// and its copy with it; what nginx cannot write as the bridge does is refused.
func TestAPathIsRewritten(t *testing.T) {
	s, modern := nginxtest.New(t, nginxtest.Config{Workers: 1}), newCopies(t)
	s.Run()
	g, m := open(t, s), newMigration(t)
	m.Spec.Backends.Modern.URL = modern.URL
	for _, c := range []struct {
		match plan.Match
		to    string
		asks  [][2]string // as it is asked for, as legacy is; "" where it is refused
	}{
		{plan.Match{Path: "/orders"}, "/v2/or ders$1", [][2]string{{"/orders", "/v2/or%20ders$1"}, {"/x/..//orders?a=%2F&b", "/v2/or%20ders$1?a=%2F&b"}}},
		{plan.Match{PathPrefix: "/v1/"}, "/v2", [][2]string{
			{"/v1/a/b?", "/v2/a/b?"}, {"/v1/", "/v2/"}, {"/v1/a%2Fb%20c,d%3b", "/v2/a%2Fb%20c,d%3b"}, {"/%761/a%2Fb", "/v2/a%2Fb"}, {"/v1%2Fa", "/v2/a"},
			{"/.//v1//a", "/v2/a"}, {"/v1/./a%20b%25c%3F?q", "/v2/a%20b%25c%3F?q"}, {"/x/%2e%2E/v1/a", "/v2/a"}, {"/v1/a/../../v1/%62\u00e9", "/v2/b%C3%A9"},
			{"/v1//a%2Fb", ""}, {"/v1/%2Fa", ""}, {"/v1/./a%3Bb", ""}, {"/v1/../v1/a%2Bb", ""}, {"/v1/..%2fx", ""},
		}},
		{plan.Match{PathPrefix: "/v1"}, "/v2", [][2]string{{"/v1", "/v2"}, {"/v1beta/a", "/v2beta/a"}, {"/v1%2fa", "/v2%2fa"}}},
		{plan.Match{PathPrefix: "/v1"}, "/", [][2]string{{"/v1", "/"}, {"/v1/a", "/a"}, {"/v1/?x", "/?x"}, {"/./v1/a", "/a"}}},
		{plan.Match{PathPrefix: "/"}, "/v2", [][2]string{{"/a", "/v2/a"}, {"/", "/v2/"}}},
		{plan.Match{PathPrefix: "/\u00e9/"}, "/v2/", [][2]string{{"/%C3%a9/x", "/v2/x"}, {"/\u00e9/x", "/v2/x"}}},
		{plan.Match{PathPrefix: "/"}, "", [][2]string{{"/a%2Fb/./c//d?q", "/a%2Fb/./c//d?q"}}},
	} {
		m.Spec.Phases = []plan.Phase{{Name: "setup", Routes: []plan.Route{
			{Match: &c.match, To: plan.ToLegacy, Mirror: &plan.Mirror{}, Rewrite: &plan.Rewrite{Path: c.to, Host: "shop.example.com", Headers: map[string]string{"X-Force": `a "$1" \n`}}},
		}}}
		apply(t, g, m.Plan, setup)
		for _, ask := range c.asks {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Opaque, r.URL.Host, r.RequestURI = ask[0], strings.TrimPrefix(s.URL, "http://"), ""
			r.URL.Scheme, r.Host = "http", r.URL.Host
			if path, query, ok := strings.Cut(ask[0], "?"); ok {
				r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = path, query, true
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			got := resp.Header.Get("Got-Uri")
			if got != ask[1] || ask[1] == "" && resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s by %+v to %s: %d %q, want %q", ask[0], c.match, c.to, resp.StatusCode, got, ask[1])
			}
			if ask[1] == "" {
				continue
			}
			if resp.Header.Get("Got-Host") != "shop.example.com" || resp.Header.Get("Got-X-Forwarded-Host") != r.URL.Host || resp.Header.Get("Got-X-Force") != `a "$1" \n` {
				t.Errorf("%s: legacy got %v", ask[0], resp.Header)
			}
			want := fmt.Sprintf("GET %s shop.example.com side=modern body= <nil>", ask[1])
			asWritten := strings.HasPrefix(c.to, "/v2/or") || !strings.Contains(ask[0], "//") && !strings.Contains(ask[0], "/.") && !strings.Contains(ask[0], "%2e")
			if c.to == "" {
				asWritten = true
			}
			copied := 0
			if asWritten {
				copied = 1
			}
			if lines := modern.take(t, copied); len(lines) != copied || copied == 1 && lines[0] != want {
				t.Errorf("%s: copies %q, want %d such as %q", ask[0], lines, copied, want)
			}
		}
	}
}
