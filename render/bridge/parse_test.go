package bridge_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

func TestParseConfigIsStrict(t *testing.T) {
	good := string(encoded(t, rendered(t, "split")))
	swap := func(from, to string) string {
		out := strings.Replace(good, from, to, 1)
		if out == good {
			t.Fatalf("%q is not in the config", from)
		}
		return out
	}
	for _, c := range []struct{ name, src, want string }{
		{"nothing", "", "unexpected end of JSON input"},
		{"cut off", good[:len(good)/2], "unexpected end of JSON input"},
		{"another type", "[]", "cannot unmarshal array"},
		{"trailing bytes", good + "{}", "after top-level value"},
		{"unknown field", swap(`"salt"`, `"sugar": 1, "salt"`), `unknown field "sugar"`},
		{"repeated field", swap(`"salt"`, `"salt": "x", "salt"`), `duplicate field "salt"`},
		{"other case", swap(`"salt"`, `"Salt"`), `unknown field "Salt"`},
		{"other version", swap(`"version": 1`, `"version": 2, "news": 3`), "let bridge and daemon be of one release"},
		{"edited", swap(`"percent": 25`, `"percent": 26`), "the file was edited or damaged"},
		{"too large", good + strings.Repeat(" ", bridge.MaxBytes), "want at most 8388608"},
	} {
		_, err := bridge.ParseConfig([]byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.want)
		}
	}
}

func TestParseConfigChecksEveryRule(t *testing.T) {
	half := plan.Percent(50)
	for _, c := range []struct {
		want   string
		change func(c *bridge.Config)
	}{
		{"want a namespace and a name", func(c *bridge.Config) { c.Plan.Name = "" }},
		{"cannot stand in a path", func(c *bridge.Config) { c.Plan.Name = "a/b" }},
		{"want a phase", func(c *bridge.Config) { c.Stop = plan.Position{} }},
		{"salt", func(c *bridge.Config) { c.Salt = "" }},
		{"want a last one without a match", func(c *bridge.Config) { c.Rules = nil }},
		{"want a last one without a match", func(c *bridge.Config) { c.Rules = c.Rules[:1] }},
		{"1025 of them", func(c *bridge.Config) {
			c.Rules = nil
			for range bridge.MaxRules + 1 {
				c.Rules = append(c.Rules, bridge.Rule{To: plan.ToLegacy})
			}
		}},
		{"absolute http or https URL", func(c *bridge.Config) { c.Backends.Legacy.URL = "ftp://h" }},
		{"is no name of a header", func(c *bridge.Config) { c.Identity.Header = "X Tenant" }},
		{"is no name of a cookie", func(c *bridge.Config) { c.Identity = &bridge.Identity{Cookie: "a;b"} }},
		{"override: \"X Y\" is no name of a header", func(c *bridge.Config) { c.Override = &plan.Override{Header: "X Y", From: []string{"10.0.0.0/8"}} }},
		{"want at least one network", func(c *bridge.Config) { c.Override = &plan.Override{Header: "X"} }},
		{"is not a network", func(c *bridge.Config) { c.Override = &plan.Override{Header: "X", From: []string{"10.0.0.1/8"}} }},
		{"got 0", func(c *bridge.Config) { c.Identity = &bridge.Identity{} }},
		{"rules[0]: to:", func(c *bridge.Config) { c.Rules[0].To = "both" }},
		{"to: owner needs entities", func(c *bridge.Config) { c.Rules[0].To = plan.ToOwner }},
		{"entities: want at least one path", func(c *bridge.Config) { c.Entities = &bridge.Entities{} }},
		{"bodies: want methods and a path", func(c *bridge.Config) { c.Entities = &bridge.Entities{Bodies: []plan.EntityBody{{ID: "body.id"}}} }},
		{"bodies: \"id\" is no place", func(c *bridge.Config) {
			c.Entities = &bridge.Entities{Bodies: []plan.EntityBody{{Methods: []string{"POST"}, Path: "/", ID: "id"}}}
		}},
		{"bodies: ", func(c *bridge.Config) {
			c.Entities = &bridge.Entities{Bodies: []plan.EntityBody{{Methods: []string{"A B"}, Path: "/", ID: "body.id"}}}
		}},
		{"probe: path", func(c *bridge.Config) { c.Entities = &bridge.Entities{Paths: []string{"/{id}"}, Probe: "/a"} }},
		{"segments {id}, want one", func(c *bridge.Config) { c.Entities = &bridge.Entities{Paths: []string{"/a"}} }},
		{"is no place in an answer", func(c *bridge.Config) {
			c.Entities = &bridge.Entities{Paths: []string{"/{id}"}, Born: &plan.Born{Methods: []string{"POST"}, Path: "/", ID: "x"}}
		}},
		{"born: want methods and a path", func(c *bridge.Config) {
			c.Entities = &bridge.Entities{Paths: []string{"/{id}"}, Born: &plan.Born{Path: "/", ID: "body.id"}}
		}},
		{`"GET POST" is no method`, func(c *bridge.Config) {
			c.Entities = &bridge.Entities{Paths: []string{"/{id}"}, Born: &plan.Born{Methods: []string{"GET POST"}, Path: "/", ID: "body.id"}}
		}},
		{"only a split has one", func(c *bridge.Config) { c.Rules[0].Percent = &half }},
		{"a split needs one", func(c *bridge.Config) { c.Rules[1].Percent = nil }},
		{"is not from 0 to 100", func(c *bridge.Config) { p := plan.Percent(100.5); c.Rules[1].Percent = &p }},
		{"mirror: percent: 0 is not above 0", func(c *bridge.Config) { c.Rules[0].Mirror = &bridge.Mirror{} }},
		{"percent: 101 is not above 0 and at most 100", func(c *bridge.Config) { c.Rules[0].Mirror = &bridge.Mirror{Percent: 101} }},
		{"would be sent there twice", func(c *bridge.Config) { c.Rules[0].To, c.Rules[0].Mirror = plan.ToModern, &bridge.Mirror{Percent: 1} }},
		{"carried out on modern twice", func(c *bridge.Config) { c.Rules[1].Mirror = &bridge.Mirror{Percent: 1, Unsafe: true} }},
		{"there is no translation", func(c *bridge.Config) { c.Rules[1].Translate = "x" }},
		{"nothing goes to modern", func(c *bridge.Config) {
			c.Rules[0].To, c.Rules[0].Translate, c.Translations = plan.ToLegacy, "x", map[string]plan.Translation{"x": {}}
		}},
		{"maxBody 16777217 is not", func(c *bridge.Config) {
			c.Rules[1].Translate, c.Translations = "x", map[string]plan.Translation{"x": {MaxBody: plan.MaxMaxBody + 1}}
		}},
		{"may not set header \"x-Changeover-Side\"", func(c *bridge.Config) {
			c.Rules[1].Translate = "x"
			c.Translations = map[string]plan.Translation{"x": {Request: &plan.RequestMapping{Headers: map[string]string{"x-Changeover-Side": "'modern'"}}}}
		}},
		{"may not set header \"Content-Length\"", func(c *bridge.Config) {
			c.Rules[1].Translate = "x"
			c.Translations = map[string]plan.Translation{"x": {Response: &plan.ResponseMapping{Headers: map[string]string{"Content-Length": "1"}}}}
		}},
		{"compare: rules[0].path: expected . or [", func(c *bridge.Config) {
			c.Rules[1].Mirror = &bridge.Mirror{Percent: 1, Compare: &plan.Comparison{Rules: []plan.CompareRule{{Path: "$a", IDs: true}}}}
		}},
		{"matches no path that it could replace", func(c *bridge.Config) { c.Rules[0].Match, c.Rules[0].Rewrite = nil, &plan.Rewrite{Path: "/x"} }},
		{`rewrite: path: "x" is no path`, func(c *bridge.Config) { c.Rules[0].Rewrite = &plan.Rewrite{Path: "x"} }},
		{`rewrite: path: "/x?y" is no path`, func(c *bridge.Config) { c.Rules[0].Rewrite = &plan.Rewrite{Path: "/x?y"} }},
		{`rewrite: host: "a/b" is no host`, func(c *bridge.Config) { c.Rules[0].Rewrite = &plan.Rewrite{Host: "a/b"} }},
		{`rewrite: "X Y" is no name of a header`, func(c *bridge.Config) { c.Rules[0].Rewrite = &plan.Rewrite{Headers: map[string]string{"X Y": "z"}} }},
		{"got both", func(c *bridge.Config) {
			c.Rules[0] = bridge.Rule{Respond: &plan.Respond{Status: 410}, Rewrite: &plan.Rewrite{Host: "x"}}
		}},
		{"got both", func(c *bridge.Config) { c.Rules[0].Respond = &plan.Respond{Status: 410} }},
		{"at most one of path", func(c *bridge.Config) { c.Rules[0].Match.PathPrefix = "/" }},
		{"is no method", func(c *bridge.Config) { c.Rules[0].Match.Methods = []string{"GET POST"} }},
		{"control character", func(c *bridge.Config) { c.Rules[1].Match.Headers = map[string]string{"A": "b\r\nc"} }},
		{"not from 200 to 599", func(c *bridge.Config) { c.Rules[0] = bridge.Rule{Respond: &plan.Respond{Status: 101}} }},
		{"has none", func(c *bridge.Config) { c.Rules[0] = bridge.Rule{Respond: &plan.Respond{Status: 204, Body: "x"}} }},
	} {
		cfg := rendered(t, "split")
		c.change(&cfg)
		var err error
		if cfg.Hash, err = cfg.Sum(); err != nil {
			t.Fatal(err)
		}
		if _, err = bridge.ParseConfig(encoded(t, cfg)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
}

// FuzzParseConfig: whatever is accepted encodes, and reads back as the same.
func FuzzParseConfig(f *testing.F) {
	for _, name := range []string{"setup", "split", "sunset"} {
		f.Add(encoded(f, rendered(f, name)))
	}
	f.Add([]byte(`{"version":1,"hash":"","plan":{"namespace":"a","name":"b"}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := bridge.ParseConfig(src)
		if err != nil {
			// Nearly every mutation breaks the hash: mend it, to get behind it.
			var mended bridge.Config
			if json.Unmarshal(src, &mended) != nil {
				return
			}
			if mended.Hash, err = mended.Sum(); err != nil {
				return
			}
			if c, err = bridge.ParseConfig(encoded(t, mended)); err != nil {
				return
			}
		}
		once := encoded(t, c)
		back, err := bridge.ParseConfig(once)
		if err != nil {
			t.Fatalf("accepted, but not after it was written anew: %v", err)
		}
		if twice := encoded(t, back); !bytes.Equal(once, twice) {
			t.Fatalf("two encodings differ:\n%s\n%s", once, twice)
		}
	})
}
