package nginx_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func decode(t testing.TB, file string) *plan.Plan {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode(file, src)
	for _, p := range problems {
		t.Error(p.Render())
	}
	if t.Failed() {
		t.FailNow()
	}
	return doc.Plan
}

func golden(f nginx.Files) []byte {
	var b bytes.Buffer
	for _, part := range []struct {
		name string
		text []byte
	}{{"upstreams", f.Upstreams}, {"maps", f.Maps}, {"locations", f.Locations}} {
		fmt.Fprintf(&b, "==> %s.conf <==\n%s", part.name, part.text)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	s := nginxtest.New(t, nginxtest.Config{})
	for _, in := range inputs {
		p := decode(t, in)
		for _, stop := range p.Itinerary() {
			file := strings.TrimSuffix(in, ".in.yaml") + "." + stop.String() + ".out"
			t.Run(filepath.Base(file), func(t *testing.T) {
				f, err := nginx.Render(p, stop)
				if err != nil {
					t.Fatal(err)
				}
				got := golden(f)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), string(got)); d != "" {
					t.Errorf("render (-want +got); -update writes it anew:\n%s", d)
				}
				install(t, s, f)
				if out, err := s.Test(); err != nil {
					t.Errorf("nginx refuses it: %v\n%s", err, out)
				}
			})
		}
	}
}

func install(t testing.TB, s *nginxtest.Server, f nginx.Files) {
	t.Helper()
	if err := write(s, f); err != nil {
		t.Fatal(err)
	}
}

// write puts files where nginx includes them.
func write(s *nginxtest.Server, f nginx.Files) error {
	dir := filepath.Join(s.Dir, "changeover")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range map[string][]byte{"upstreams": f.Upstreams, "maps": f.Maps, "locations": f.Locations} {
		if err := os.WriteFile(filepath.Join(dir, "p."+name+".conf"), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestEqualPlansGiveEqualBytes(t *testing.T) {
	p, q := decode(t, "testdata/gradual.in.yaml"), decode(t, "testdata/gradual.in.yaml")
	hashes := make(map[string]plan.Position)
	for _, stop := range p.Itinerary() {
		a, errA := nginx.Render(p, stop)
		b, errB := nginx.Render(q, stop)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if d := cmp.Diff(a, b); d != "" {
			t.Errorf("%s: %s", stop, d)
		}
		if other, ok := hashes[a.Hash]; ok {
			t.Errorf("%s and %s have different routes and one hash", stop, other)
		}
		hashes[a.Hash] = stop
		if !bytes.Contains(a.Locations, []byte(a.Hash)) {
			t.Errorf("%s: the version location does not answer with the hash", stop)
		}
	}
}

func TestModernIsNotWrittenBeforeItIsUsed(t *testing.T) {
	p := decode(t, "testdata/gradual.in.yaml")
	f, err := nginx.Render(p, plan.Position{Phase: "setup"})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(golden(f), []byte("8000")) {
		t.Errorf("modern's address stands in a config that sends nothing there:\n%s", golden(f))
	}
}

func base() *plan.Plan {
	return &plan.Plan{
		Metadata: plan.Metadata{Name: "p", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: "http://127.0.0.1:1"}, Modern: plan.Backend{URL: "http://127.0.0.1:2"}},
			Gateway:  &plan.Gateway{NGINX: &plan.NGINXGateway{}},
			Phases:   []plan.Phase{{Name: "a", Routes: []plan.Route{{To: plan.ToLegacy}}}},
		},
	}
}

func TestRefuses(t *testing.T) {
	answer := func(r plan.Respond) func(*plan.Plan) {
		return func(p *plan.Plan) { p.Spec.Phases[0].Routes = []plan.Route{{Respond: &r}} }
	}
	match := func(m plan.Match) func(*plan.Plan) {
		return func(p *plan.Plan) { p.Spec.Phases[0].Routes = []plan.Route{{Match: &m, To: plan.ToLegacy}} }
	}
	legacy := func(url string) func(*plan.Plan) {
		return func(p *plan.Plan) { p.Spec.Backends.Legacy.URL = url }
	}
	split := func(percent plan.Percent, id plan.Identity) func(*plan.Plan) {
		return func(p *plan.Plan) {
			p.Spec.Identity = &id
			p.Spec.Phases[0].Routes = []plan.Route{{To: plan.ToSplit, Percent: &percent}}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*plan.Plan)
		want   string
	}{
		{"a name that breaks out of its location", func(p *plan.Plan) { p.Metadata.Name = "p { return 200; }" }, "metadata.name"},
		{"a backend that is a socket", legacy("http://unix:80"), "spec.backends.legacy.url"},
		{"a backend with a user", legacy("http://a:b@host"), "without user"},
		{"a backend with directives", legacy("http://h;return"), "spec.backends.legacy.url"},
		{"a backend of another scheme", legacy("ftp://host"), "http or https"},
		{"a backend without a host", legacy("http://:80"), "http or https"},
		{"a port that is none", legacy("http://host:99999"), "1 to 65535"},
		{"a header that nginx drops", match(plan.Match{Headers: map[string]string{"X_Y": "1"}}), "use the bridge"},
		{"a header twice", match(plan.Match{Headers: map[string]string{"X-Y": "1", "x-y": "2"}}), "twice"},
		{"two paths", match(plan.Match{Path: "/a", PathPrefix: "/b"}), "at most one"},
		{"a broken expression", match(plan.Match{PathRegex: "("}), "parse regular expression"},
		{"a huge expression", match(plan.Match{PathRegex: "(?:abcdefghijklmnop){900}"}), "too large"},
		{"a huge class", match(plan.Match{PathRegex: `\pL`}), "too large"},
		{"a path that is no token", match(plan.Match{Path: "/" + strings.Repeat("%", 4000)}), "reads at most"},
		{"three decimals", split(0.001, plan.Identity{}), "two decimals"},
		{"two identities", split(10, plan.Identity{Header: "X", ClientIP: true}), "several"},
		{"an identity that nginx drops", split(10, plan.Identity{Header: "X_Y"}), "use the bridge"},
		{"a status that is none", answer(plan.Respond{Status: 99}), "200 to 599"},
		{"a status at which nginx hangs up", answer(plan.Respond{Status: 444}), "444"},
		{"a header of the connection", answer(plan.Respond{Status: 410, Headers: map[string]string{"Content-Length": "1"}}), "itself"},
		{"a header with a line break", answer(plan.Respond{Status: 410, Headers: map[string]string{"X": "a\r\nY: b"}}), "control character"},
		{"a header that is no name", answer(plan.Respond{Status: 410, Headers: map[string]string{"X Y": "a"}}), "no name"},
		{"an empty header", answer(plan.Respond{Status: 410, Headers: map[string]string{"X": ""}}), "without a value"},
		{"a redirect to nowhere", answer(plan.Respond{Status: 302}), "Location"},
		{"a redirect with a body", answer(plan.Respond{Status: 302, Body: "x", Headers: map[string]string{"Location": "/"}}), "cannot send a body"},
		{"a body with NUL", answer(plan.Respond{Status: 410, Body: "a\x00hash\x00"}), "NUL"},
		{"a body beyond bounds", answer(plan.Respond{Status: 410, Body: strings.Repeat("x", 70_000)}), "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := base()
			c.change(p)
			f, err := nginx.Render(p, plan.Position{Phase: "a"})
			var refusal *nginx.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal with %q\n%s", err, c.want, f.Locations)
			}
		})
	}
	if _, err := nginx.Render(base(), plan.Position{Phase: "b"}); err == nil {
		t.Error("a stop that is not on the itinerary was rendered")
	}
}

func TestRefusesCopiesThatValidationRefuses(t *testing.T) {
	percent := func(p plan.Percent) *plan.Percent { return &p }
	for _, c := range []struct {
		route plan.Route
		want  string
	}{
		{plan.Route{To: plan.ToModern, Mirror: &plan.Mirror{}}, "sent there twice"},
		{plan.Route{To: plan.ToSplit, Percent: percent(10), Mirror: &plan.Mirror{AllowUnsafe: "why"}}, "carried out on modern twice"},
		{plan.Route{Respond: &plan.Respond{Status: 410}, Mirror: &plan.Mirror{}}, "answers itself"},
		{plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: percent(0)}}, "0 is not above 0"},
		{plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: percent(100.5)}}, "100.5 is not above 0"},
		{plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: percent(0.001)}}, "two decimals"},
		{plan.Route{Respond: &plan.Respond{Status: 410}, Rewrite: &plan.Rewrite{Host: "a.b"}}, "answers itself"},
		{plan.Route{To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/x"}}, "no path that it could replace"},
	} {
		p := base()
		p.Spec.Phases[0].Routes = []plan.Route{{Match: &plan.Match{Path: "/"}, To: plan.ToLegacy}, c.route}
		_, err := nginx.Render(p, plan.Position{Phase: "a"})
		if err == nil || !strings.Contains(err.Error(), "routes[1]: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error of routes[1] with %q", err, c.want)
		}
	}
}

func TestNothingIsCopiedWhereAllGoesToModern(t *testing.T) {
	p := decode(t, "testdata/shadow.in.yaml")
	f, err := nginx.Render(p, plan.Position{Phase: "gradual", Percent: 100})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(golden(f), []byte("mirror")) {
		t.Errorf("a mirror stands in a config without copies:\n%s", golden(f))
	}
}
