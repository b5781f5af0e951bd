package nginx

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/changeover-dev/changeover/plan"
)

// maps writes the chain of maps, the splits and the log format.
func (c *config) maps() ([]byte, error) {
	var w writer
	entities, err := entityPatterns(c.plan)
	if err != nil {
		return nil, err
	}
	m, err := newMatcher(c.names, c.rules, entities)
	if err != nil {
		return nil, err
	}
	w.comment("Which rule: the first that matches.")
	if err := m.write(&w, c.rules); err != nil {
		return nil, err
	}
	if len(c.splits) > 0 {
		w.comment("Which side: by the caller's key. Who is on modern at one percentage stays there at every higher one.")
		if err := c.writeSplits(&w); err != nil {
			return nil, err
		}
	}
	if err := c.writeOverride(&w); err != nil {
		return nil, err
	}
	c.writeSides(&w)
	c.writeResponds(&w)
	if err := c.writeRewrites(&w); err != nil {
		return nil, err
	}
	c.writeProxyMaps(&w)
	c.writeBridged(&w)
	c.writeCopies(&w)
	c.writeLocal(&w)
	for i, s := range c.texts.geos {
		w.open("geo %s", c.names.variable(fmt.Sprintf("text%d", i)))
		w.directive("default", quote(s))
		w.close()
	}
	c.writeLogFormat(&w)
	return w.bytes(), nil
}

// writeSplits writes the caller's key and one split for each share. Callers
// without a key get a new one for each request: they must never all be on one
// side.
func (c *config) writeSplits(w *writer) error {
	if err := c.writeKey(w); err != nil {
		return err
	}
	salt, err := c.texts.expandable(c.plan.Salt())
	if err != nil {
		return refuse("spec.identity.cohort", "%w", err)
	}
	for _, p := range c.splits {
		w.open("split_clients %s %s", quote(salt+":"+c.names.variable("key")), c.names.split(p))
		w.directive(p.String()+"%", string(plan.Modern))
		w.directive("*", string(plan.Legacy))
		w.close()
	}
	return nil
}

func (c *config) writeKey(w *writer) error {
	id := plan.Identity{}
	if c.plan.Spec.Identity != nil {
		id = *c.plan.Spec.Identity
	}
	source, pattern := "$request_id", ""
	switch set := id.Header + id.Cookie + id.Query; {
	case id.ClientIP && set != "" || id.Header != set && id.Cookie != set && id.Query != set:
		return refuse("spec.identity", "want one of header, cookie, query and clientIP, it has several")
	case id.Header != "":
		if err := checkVariableName("header", id.Header); err != nil {
			return refuse("spec.identity.header", "%w", err)
		}
		source = variableOf(id.Header)
	case id.Cookie != "":
		source, pattern = "$http_cookie", `(?:\A|;[ \t]*)`+literalPattern(id.Cookie)+`=([^;]+)`
	case id.Query != "":
		source, pattern = "$args", `(?:\A|&)`+literalPattern(url.QueryEscape(id.Query))+`=([^&]+)`
	case id.ClientIP:
		source = "$remote_addr"
	}
	if len(pattern) > maxToken/2 {
		return refuse("spec.identity", "the name has %d bytes in nginx's words, it reads at most %d", len(pattern), maxToken/2)
	}
	w.open("map %s %s", source, c.names.variable("key"))
	if pattern != "" {
		w.directive(quote("~"+pattern), "$1")
		w.directive("default", "$request_id")
	} else {
		w.directive(`""`, "$request_id")
		w.directive("default", source)
	}
	w.close()
	return nil
}

func (c *config) writeSides(w *writer) {
	w.open("map %s %s", c.names.variable("rule"), c.names.variable("side"))
	for i, r := range c.rules {
		switch side := c.sideOf(r); {
		case r.Respond != nil:
		case side != "":
			w.directive(ruleName(i), string(side))
		case c.plan.Spec.Override != nil:
			w.directive(ruleName(i), c.names.chosen(r.Percent))
		default:
			w.directive(ruleName(i), c.names.split(r.Percent))
		}
	}
	c.writeEntitySide(w)
	w.directive("default", `""`)
	w.close()
}

func (c *config) writeResponds(w *writer) {
	if !c.responds() {
		return
	}
	w.open("map %s %s", c.names.variable("rule"), c.names.variable("respond"))
	for i, r := range c.rules {
		if r.Respond != nil {
			w.directive(quote(`~\A`+c.noted(logRule, ruleName(i))+`\z`), ruleName(i))
		}
	}
	w.directive("default", `""`)
	w.close()
}

// writeProxyMaps writes what the proxy needs to know of a request's side and
// headers.
func (c *config) writeProxyMaps(w *writer) {
	if len(c.backends) == 0 {
		return
	}
	side := c.names.variable("side")
	w.open("map %s %s", quote(c.names.variable("rule")+":"+side), c.names.variable("pass"))
	for _, b := range c.backends {
		w.directive(quote(`~\A`+c.noted(logRule, `\w+`)+":"+c.noted(logSide, string(b.side))+`\z`), quote(b.pass(c.names)))
	}
	w.close()
	if c.tls() {
		w.open("map %s %s", side, c.names.variable("tls"))
		for _, b := range c.backends {
			w.directive(string(b.side), quote(b.host))
		}
		w.close()
	}
	w.open("map $http_host %s", c.names.variable("host"))
	w.directive(`""`, "$host")
	w.directive("default", "$http_host")
	w.close()
	w.comment("Within a connection of h2c, requests would pass by the rules.")
	w.open("map $http_upgrade %s", c.names.variable("upgrade"))
	w.directive(quote("~*h2c"), `""`)
	w.directive("default", "$http_upgrade")
	w.close()
	w.open("map %s %s", c.names.variable("upgrade"), c.names.variable("connection"))
	w.directive(`""`, `""`)
	w.directive("default", "upgrade")
	w.close()
}

// writeLocal writes whether a program on this machine asks, for itself and not
// as a proxy for somebody else.
func (c *config) writeLocal(w *writer) {
	w.open("geo %s", c.names.variable("loopback"))
	w.directive("default", "0")
	w.directive("127.0.0.0/8", "1")
	w.directive("::1", "1")
	w.close()
	w.open(`map "%s$http_x_forwarded_for$http_forwarded$http_x_real_ip" %s`, c.names.variable("loopback"), c.names.variable("local"))
	w.directive(`"1"`, "1")
	w.directive("default", "0")
	w.close()
}

// expandable is s as it may stand in a quoted token that nginx expands: as
// itself where it can.
func (t *texts) expandable(s string) (string, error) {
	const short = 512
	if s == "" {
		return "", errors.New("want a text that is not empty")
	}
	for i := range len(s) {
		if s[i] == '$' || s[i] == 0 {
			return t.text(s)
		}
	}
	if len(s) > short {
		return t.text(s)
	}
	return s, nil
}
