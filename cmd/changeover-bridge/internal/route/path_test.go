package route_test

import (
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
)

// FuzzPath: whatever a client writes, the path by which a rule is found is clean,
// the same for all ways to write it that are resolved alike, and none that a rule
// for a folder would miss.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/", "/admin", "//admin", "/./admin", "/x/../admin", "/x/%2e%2e/admin", "/%61dmin", "/admin%2fx", "/..", "/%2e%2e/%2f", "/a//b/",
		"/admin;x=1", "/x/..;/admin", "/x\\..\\admin", "/%00", "/%c0%ae%c0%ae/admin", "/admin#", "/?/admin", "http://h/admin", "*", "/a/.", "/a/..",
	} {
		f.Add(s)
	}
	p := planOf(nil,
		plan.Route{Match: &plan.Match{PathPrefix: "/admin"}, Respond: &plan.Respond{Status: 403}},
		plan.Route{To: plan.ToLegacy})
	table := tableOf(f, p, stop)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		clean, ok := route.Path(u)
		if !ok {
			return
		}
		parts := strings.Split(clean, "/")
		if clean[0] != '/' || strings.Contains(clean, "//") || strings.IndexByte(clean, 0) >= 0 || slices.Contains(parts, ".") || slices.Contains(parts, "..") {
			t.Fatalf("%q is matched as %q", target, clean)
		}
		if again, ok := route.Path(&url.URL{Path: clean, RawPath: strings.ReplaceAll(clean, ";", "%3B")}); !ok || again != clean {
			t.Fatalf("%q is matched as %q, and that as %q, %v", target, clean, again, ok)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = u
		if code, _ := route.Refuse(r); code != 0 {
			t.Fatalf("%q has a path and is refused", target)
		}
		answered := table.Choose(r, netip.Addr{}).Respond != nil
		if answered != strings.HasPrefix(clean, "/admin") {
			t.Fatalf("%q, which is %q: answered by the rule for /admin is %v", target, clean, answered)
		}
	})
}
