package bridge

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/json"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of a config file. Every plan that is valid stays within them: it has
// at most plan.MaxSize bytes, of which none takes more than six in JSON and the
// indents of its routes, and at most a thousand routes a phase.
const (
	MaxBytes = 8 * plan.MaxSize
	MaxRules = 1024
)

// ParseConfig reads and checks a config file. It is strict: unknown and
// repeated fields, trailing bytes, another version, a hash that does not match
// the content, and anything that a bridge could not serve are errors.
func ParseConfig(src []byte) (Config, error) {
	if len(src) > MaxBytes {
		return Config{}, fmt.Errorf("parse bridge config: it has %d bytes, want at most %d", len(src), MaxBytes)
	}
	var c Config
	strict, err := json.UnmarshalStrict(src, &c)
	if err == nil && c.Version != Version {
		// Named before unknown fields, which another version explains.
		err = fmt.Errorf("version is %d, this bridge reads %d: let bridge and daemon be of one release", c.Version, Version)
	}
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return Config{}, fmt.Errorf("parse bridge config: %w", err)
	}
	return c, nil
}

// Check reports the first thing that a bridge could not serve.
func (c Config) Check() error {
	switch {
	case c.Plan.Name == "" || c.Plan.Namespace == "":
		return errors.New("plan: want a namespace and a name")
	case url.PathEscape(c.Plan.Name) != c.Plan.Name:
		return fmt.Errorf("plan: the name %q cannot stand in a path", c.Plan.Name)
	case c.Stop.IsZero():
		return errors.New("stop: want a phase")
	case c.Salt == "":
		return errors.New("salt: want a text that is not empty")
	case len(c.Rules) == 0 || c.Rules[len(c.Rules)-1].Match != nil:
		return errors.New("rules: want a last one without a match")
	case len(c.Rules) > MaxRules:
		return fmt.Errorf("rules: %d of them, want at most %d", len(c.Rules), MaxRules)
	}
	for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
		if err := checkBackend(c.Backends.Of(side).URL); err != nil {
			return fmt.Errorf("backends.%s.url: %w", side, err)
		}
	}
	if err := c.Identity.check(); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := checkOverride(c.Override); err != nil {
		return fmt.Errorf("override: %w", err)
	}
	if err := c.Entities.check(); err != nil {
		return fmt.Errorf("entities: %w", err)
	}
	for i, r := range c.Rules {
		err := r.check()
		if err == nil {
			err = c.checkTranslate(r)
		}
		if err != nil {
			return fmt.Errorf("rules[%d]: %w", i, err)
		}
		if r.To == plan.ToOwner && c.Entities == nil {
			return fmt.Errorf("rules[%d]: to: owner needs entities", i)
		}
	}
	return c.checkHash()
}

func (c Config) checkHash() error {
	sum, err := c.Sum()
	if err != nil {
		return err
	}
	if c.Hash != sum {
		return fmt.Errorf("hash: it is %q but the content gives %q: the file was edited or damaged, the daemon writes it anew", c.Hash, sum)
	}
	return nil
}

// checkTranslate checks that the translation of a rule is there. A bridge compiles
// it before it serves the config.
func (c Config) checkTranslate(r Rule) error {
	if r.Translate == "" {
		return nil
	}
	t, ok := c.Translations[r.Translate]
	switch {
	case !ok:
		return fmt.Errorf("translate: there is no translation %q", r.Translate)
	case r.To == plan.ToLegacy && r.Mirror == nil && c.Entities == nil:
		return errors.New("translate: nothing goes to modern")
	case t.MaxBody < 0 || t.MaxBody > plan.MaxMaxBody:
		return fmt.Errorf("translate: maxBody %d is not from 1 to %d", t.MaxBody, plan.MaxMaxBody)
	}
	var names []string
	if t.Request != nil {
		names = slices.Collect(maps.Keys(t.Request.Headers))
	}
	if t.Response != nil {
		names = slices.AppendSeq(names, maps.Keys(t.Response.Headers))
	}
	for _, name := range names {
		if !plan.IsTranslatable(name) {
			return fmt.Errorf("translate: translation %q may not set header %q", r.Translate, name)
		}
	}
	return nil
}

func checkBackend(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("parse %q: want an absolute http or https URL", s)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return fmt.Errorf("%q: want an absolute http or https URL", s)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("want a URL without user, query and fragment")
	}
	return nil
}

func (e *Entities) check() error {
	if e == nil {
		return nil
	}
	if len(e.Paths)+len(e.Bodies) == 0 {
		return errors.New("want at least one path")
	}
	for _, b := range e.Bodies {
		if err := checkMatch(plan.Match{Methods: b.Methods}); err != nil {
			return fmt.Errorf("bodies: %w", err)
		}
		if _, err := plan.ParseIDPath(b.ID); err != nil {
			return fmt.Errorf("bodies: %w", err)
		}
		if len(b.Methods) == 0 || b.Path == "" {
			return errors.New("bodies: want methods and a path")
		}
	}
	for _, s := range e.Paths {
		if _, err := plan.ParseEntityPath(s); err != nil {
			return err
		}
	}
	if e.Probe != "" {
		if _, err := plan.ParseEntityPath(e.Probe); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	if b := e.Born; b != nil {
		if err := checkMatch(plan.Match{Methods: b.Methods}); err != nil {
			return fmt.Errorf("born: %w", err)
		}
		if _, err := plan.ParseIDPath(b.ID); err != nil {
			return fmt.Errorf("born: %w", err)
		}
		if len(b.Methods) == 0 || b.Path == "" {
			return errors.New("born: want methods and a path")
		}
	}
	return nil
}

func (id *Identity) check() error {
	if id == nil {
		return nil
	}
	set := 0
	for _, name := range []string{id.Header, id.Cookie, id.Query} {
		if name != "" {
			set++
		}
	}
	if id.ClientIP {
		set++
	}
	switch {
	case set != 1:
		return fmt.Errorf("want exactly one of header, cookie, query and clientIP, got %d", set)
	case id.Header != "" && !isToken(id.Header):
		return fmt.Errorf("%q is no name of a header", id.Header)
	case id.Cookie != "" && !isToken(id.Cookie):
		return fmt.Errorf("%q is no name of a cookie", id.Cookie)
	}
	return nil
}

func checkOverride(o *plan.Override) error {
	switch {
	case o == nil:
		return nil
	case !isToken(o.Header):
		return fmt.Errorf("%q is no name of a header", o.Header)
	case len(o.From) == 0:
		return errors.New("from: want at least one network")
	}
	_, err := o.Networks()
	return err
}

func (r Rule) check() error {
	if r.Match != nil {
		if err := checkMatch(*r.Match); err != nil {
			return fmt.Errorf("match: %w", err)
		}
	}
	if r.Respond != nil {
		if r.To != "" || r.Percent != nil || r.Mirror != nil || r.Rewrite != nil || r.Translate != "" {
			return errors.New("want either to or respond, got both")
		}
		return checkRespond(*r.Respond)
	}
	if err := r.checkMirror(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := r.checkRewrite(); err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	switch r.To {
	case plan.ToLegacy, plan.ToModern, plan.ToOwner:
		if r.Percent != nil {
			return fmt.Errorf("percent: only a split has one, this goes to %s", r.To)
		}
	case plan.ToSplit:
		if r.Percent == nil {
			return errors.New("percent: a split needs one")
		}
		if p := *r.Percent; !(p >= 0 && p <= 100) {
			return fmt.Errorf("percent: %v is not from 0 to 100", p)
		}
	default:
		return fmt.Errorf("to: %q, want legacy, modern, split or owner", r.To)
	}
	return nil
}

func (r Rule) checkMirror() error {
	switch m := r.Mirror; {
	case m == nil:
	case !(m.Percent > 0 && m.Percent <= 100):
		return fmt.Errorf("percent: %v is not above 0 and at most 100", m.Percent)
	case r.To == plan.ToModern:
		return errors.New("requests to modern would be sent there twice")
	case m.Unsafe && r.To == plan.ToSplit:
		return errors.New("of a split, unsafe requests would be carried out on modern twice")
	case m.Compare != nil:
		if err := m.Compare.Check(); err != nil {
			return fmt.Errorf("compare: %w", err)
		}
	}
	return nil
}

func (r Rule) checkRewrite() error {
	w := r.Rewrite
	switch {
	case w == nil:
		return nil
	case w.Path != "" && (r.Match == nil || r.Match.Path == "" && r.Match.PathPrefix == ""):
		return errors.New("path: the rule matches no path that it could replace")
	case w.Path != "" && w.Path[0] != '/', strings.ContainsAny(w.Path, "?#\x00"):
		return fmt.Errorf("path: %q is no path", w.Path)
	case strings.ContainsAny(w.Host, "/?#@ \t\r\n"):
		return fmt.Errorf("host: %q is no host", w.Host)
	}
	return checkHeaders(w.Headers)
}

func checkMatch(m plan.Match) error {
	paths := 0
	for _, p := range []string{m.Path, m.PathPrefix, m.PathRegex} {
		if p != "" {
			paths++
		}
	}
	if paths > 1 {
		return errors.New("want at most one of path, pathPrefix and pathRegex")
	}
	if _, err := regexp.Compile(m.PathRegex); err != nil {
		return fmt.Errorf("pathRegex: %w", err)
	}
	for _, method := range m.Methods {
		if !isToken(method) {
			return fmt.Errorf("methods: %q is no method", method)
		}
	}
	return checkHeaders(m.Headers)
}

func checkRespond(r plan.Respond) error {
	if r.Status < 200 || r.Status > 599 {
		return fmt.Errorf("respond.status: %d is not from 200 to 599", r.Status)
	}
	if r.Body != "" && (r.Status == 204 || r.Status == 304) {
		return fmt.Errorf("respond.body: an answer with status %d has none", r.Status)
	}
	if err := checkHeaders(r.Headers); err != nil {
		return fmt.Errorf("respond.headers: %w", err)
	}
	return nil
}

func checkHeaders(h map[string]string) error {
	for name, value := range h {
		if !isToken(name) {
			return fmt.Errorf("%q is no name of a header", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("the value of header %q holds a control character", name)
		}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110: the form of methods and of
// names of headers and cookies.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
