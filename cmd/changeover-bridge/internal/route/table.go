package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/translate"
)

// Table is the compiled routes of a config. It does not change and may be used
// by any number of goroutines.
type Table struct {
	rules []rule
	salt  string
	key   keyFunc
	force *force
	// paths: some rule looks at the path; texts: by an expression.
	paths, texts bool
	// entities are found in requests; nil: the plan has none.
	entities *entities
}

type rule struct {
	methods []string
	path    string
	prefix  string
	regex   *regexp.Regexp
	headers []headerIs
	to      plan.Dest
	percent plan.Percent
	respond *plan.Respond
	mirror  *bridge.Mirror
	rewrite *Rewrite
	// translate is of what goes to modern; nil: none.
	translate *translate.Translation
}

type headerIs struct{ name, value string }

// Choice is what a Table says of one request.
type Choice struct {
	// Rule is the index of the rule that matched.
	Rule int
	// Side to which the request goes; "" where Respond is set.
	Side    plan.Side
	Respond *plan.Respond
	// Split: the bucket decided the side. Bucket is that of the caller's key;
	// negative where the caller has none, and chance decided.
	Split  bool
	Bucket int
	// Entity decided the side, or could not; see Lookup.
	Entity Lookup
	// Unknown is the id of an entity that nobody is known to own, and Probe the path
	// at which modern says whether it has it; "": modern is not asked.
	Unknown, Probe string
	// Mirror: a copy goes to modern as well.
	Mirror bool
	// Rewrite is what changes on the way; nil: nothing.
	Rewrite *Rewrite
	// Translate is of what goes to modern, the copy too; nil: nothing.
	Translate *translate.Translation
}

// Compile fails for a config that did not pass its own Check, and for one whose
// translations do not compile.
func Compile(c bridge.Config) (*Table, error) {
	err := c.Check()
	if err != nil {
		return nil, fmt.Errorf("compile routes: %w", err)
	}
	t := &Table{salt: c.Salt, key: keyOf(c.Identity), rules: make([]rule, len(c.Rules))}
	if t.force, err = forceOf(c.Override); err != nil {
		return nil, fmt.Errorf("compile override: %w", err)
	}
	translations := make(map[string]*translate.Translation, len(c.Translations))
	for name, tr := range c.Translations {
		compiled, err := translate.Compile(name, tr)
		if err != nil {
			return nil, fmt.Errorf("compile routes: %w", err)
		}
		translations[name] = compiled
	}
	for i, r := range c.Rules {
		out := &t.rules[i]
		out.translate = translations[r.Translate]
		out.to, out.respond, out.mirror, out.rewrite = r.To, r.Respond, r.Mirror, rewriteOf(r.Match, r.Rewrite)
		if r.Percent != nil {
			out.percent = *r.Percent
		}
		if r.Match == nil {
			continue
		}
		out.methods, out.path, out.prefix = r.Match.Methods, r.Match.Path, r.Match.PathPrefix
		if r.Match.PathRegex != "" {
			re, err := regexp.Compile(r.Match.PathRegex)
			if err != nil {
				return nil, fmt.Errorf("compile route %d: %w", i, err)
			}
			out.regex = re
			t.texts = true
		}
		for name, value := range r.Match.Headers {
			out.headers = append(out.headers, headerIs{http.CanonicalHeaderKey(name), value})
		}
		t.paths = t.paths || out.path != "" || out.prefix != "" || out.regex != nil
	}
	t.entities, err = entitiesOf(c.Entities)
	t.paths = t.paths || t.entities != nil
	return t, err
}

// Choose returns the first rule that matches, and the side. client is the
// caller's address, for plans that identify callers by it. The request must
// have passed Refuse.
func (t *Table) Choose(r *http.Request, client netip.Addr) Choice {
	var p paths
	if t.paths {
		p.path, _ = Path(r.URL)
	}
	if t.texts {
		p.text = text(p.path)
	}
	for i := range t.rules {
		if ru := &t.rules[i]; ru.matches(r, p) {
			side, split, bucket := t.side(ru, r, client)
			c := Choice{Rule: i, Side: side, Respond: ru.respond, Split: split, Bucket: bucket, Rewrite: ru.rewrite, Translate: ru.translate}
			if t.entities != nil {
				t.entities.decide(&c, ru.to, r, p.path)
			}
			c.Mirror = ru.mirrors(r, c.Side)
			return c
		}
	}
	// The last rule of a checked config matches everything.
	panic("route: no rule matched")
}

// Found is the choice for an entity of which modern has said that it is there.
func (c Choice) Found() Choice {
	c.Side, c.Respond, c.Split, c.Mirror, c.Entity = plan.Modern, nil, false, false, Owned
	return c
}

// mirrors draws whether a request is copied to modern. One that goes there, or
// that may change something and must not, never is.
func (ru *rule) mirrors(r *http.Request, side plan.Side) bool {
	m := ru.mirror
	if m == nil || side == plan.Modern || !m.Unsafe && !slices.Contains(plan.SafeMethods, r.Method) {
		return false
	}
	return plan.OnModern(rand.IntN(plan.Buckets), m.Percent)
}

// side of a caller without a key is drawn anew for each request, so that such
// callers are never all on one side.
func (t *Table) side(ru *rule, r *http.Request, client netip.Addr) (side plan.Side, split bool, bucket int) {
	if ru.to != plan.ToSplit {
		return plan.Side(ru.to), false, 0
	}
	if side := t.force.side(r, client); side != "" {
		return side, false, 0
	}
	bucket = -1
	drawn := rand.IntN(plan.Buckets)
	if key := t.key(r, client); key != "" {
		bucket = plan.Bucket(t.salt, key)
		drawn = bucket
	}
	if plan.OnModern(drawn, ru.percent) {
		return plan.Modern, true, bucket
	}
	return plan.Legacy, true, bucket
}

// paths are the path of a request, and how expressions read it.
type paths struct{ path, text string }

func (ru *rule) matches(r *http.Request, p paths) bool {
	if len(ru.methods) > 0 && !slices.Contains(ru.methods, r.Method) {
		return false
	}
	switch {
	case ru.path != "" && p.path != ru.path,
		ru.prefix != "" && !strings.HasPrefix(p.path, ru.prefix),
		ru.regex != nil && !ru.regex.MatchString(p.text):
		return false
	}
	for _, h := range ru.headers {
		if header(r, h.name) != h.value {
			return false
		}
	}
	return true
}
