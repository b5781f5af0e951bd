package nginx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// Bounds of copies; the package's documentation says what they are for.
const (
	mirrorConnect = "100ms"
	mirrorSend    = "100ms"
	mirrorRead    = "300ms"
	mirrorBody    = "256k"
)

// mirrors reports whether some of a rule's requests are copied: none are where
// all go to modern.
func (c *config) mirrors(r render.Rule) bool { return r.Mirror != nil && c.sideOf(r) != plan.Modern }

// checkMirror refuses what has no meaning, and what would be carried out on modern
// twice. Validation refuses it as well, which is why it is no Refusal: each would be
// reported twice.
func checkMirror(r render.Rule) error {
	switch m := r.Mirror; {
	case r.Translate != "":
		return errors.New("nginx cannot translate")
	case m == nil:
	case r.Respond != nil:
		return errors.New("mirror: the route answers itself, so there is nothing to mirror")
	case r.Side == plan.Modern:
		return errors.New("mirror: requests to modern would be sent there twice")
	case r.Split && m.AllowUnsafe != "":
		return errors.New("mirror: of a split route, unsafe requests would be carried out on modern twice")
	case !(mirrored(r) > 0 && mirrored(r) <= 100):
		return fmt.Errorf("mirror: percent %v is not above 0 and at most 100", mirrored(r))
	case !hundredths(mirrored(r)):
		return fmt.Errorf("mirror: percent %v: nginx draws by hundredths of a percent, give at most two decimals", mirrored(r))
	}
	return nil
}

// mirrored is the share of a rule's requests that is copied.
func mirrored(r render.Rule) plan.Percent {
	if r.Mirror.Percent == nil {
		return 100
	}
	return *r.Mirror.Percent
}

func (c *config) anyMirrors() bool { return slices.ContainsFunc(c.rules, c.mirrors) }

// bodies reports whether requests with bodies are copied: else nginx needs not
// read a body before it passes the request on.
func (c *config) bodies() bool {
	return slices.ContainsFunc(c.rules, func(r render.Rule) bool { return c.mirrors(r) && r.Mirror.AllowUnsafe != "" })
}

// writeCopies writes which requests are copied: 1, or 0. The draw has nothing
// to do with the side that a caller without a key gets by the same request id.
func (c *config) writeCopies(w *writer) {
	if !c.anyMirrors() {
		return
	}
	w.comment("Which requests are copied to modern: of those to legacy, a share that is drawn for each.")
	var drawn []plan.Percent
	for _, r := range c.rules {
		if !c.mirrors(r) || mirrored(r) >= 100 || slices.Contains(drawn, mirrored(r)) {
			continue
		}
		drawn = append(drawn, mirrored(r))
		w.open("split_clients %s %s", quote("mirror:$request_id"), c.names.draw(mirrored(r)))
		w.directive(mirrored(r).String()+"%", "1")
		w.directive("*", "0")
		w.close()
	}
	parts := []string{c.names.variable("rule"), c.names.variable("side"), "$request_method", c.names.variable("upgrade")}
	bodiless := ""
	if !c.bodies() {
		parts = append(parts, "$http_content_length$http_transfer_encoding")
		bodiless = ":0?"
	}
	w.open("map %s %s", quote(strings.Join(parts, ":")), c.names.variable("copy"))
	for i, r := range c.rules {
		if !c.mirrors(r) {
			continue
		}
		methods, draw := methodPattern(plan.SafeMethods), "1"
		if r.Mirror.AllowUnsafe != "" {
			methods = "[^:]*"
		}
		if p := mirrored(r); p < 100 {
			draw = c.names.draw(p)
		}
		w.directive(quote(`~\A`+ruleName(i)+":"+string(plan.Legacy)+":"+methods+":"+bodiless+`\z`), draw)
	}
	w.directive("default", "0")
	w.close()
}

// plainRule stands for all rules that do not rewrite, which share a location.
const plainRule = -1

// mirrorPath is where copies are made of a rule's requests.
func (c *config) mirrorPath(rule int) string {
	path := internalPrefix + c.plan.Metadata.Name + "/mirror"
	if rule != plainRule {
		path += "/" + ruleName(rule)
	}
	return path
}

// copiedRules are those whose copies have a location of their own.
func (c *config) copiedRules() (out []int) {
	for i, r := range c.rules {
		switch {
		case !c.mirrors(r):
		case r.Rewrite != nil:
			out = append(out, i)
		case !slices.Contains(out, plainRule):
			out = append(out, plainRule)
		}
	}
	return out
}

// writeMirrorOf writes, into a location, where copies are made. What is copied is
// settled here, before there is a copy: in its location $uri is another, and which
// rule matches would be as well.
func (c *config) writeMirrorOf(w *writer, rule int) {
	if !slices.Contains(c.copiedRules(), rule) {
		return
	}
	w.directive("set", c.names.variable("copied"), c.names.variable("copy"))
	w.directive("mirror", c.mirrorPath(rule))
	onOff := "off"
	if c.bodies() {
		onOff = "on"
	}
	w.directive("mirror_request_body", onOff)
}

func (c *config) writeMirrors(w *writer) error {
	for _, rule := range c.copiedRules() {
		if err := c.writeMirror(w, rule); err != nil {
			return &Refusal{Rule: max(rule, 0), Err: fmt.Errorf("mirror: %w", err)}
		}
	}
	return nil
}

// writeMirror writes the location that drops the copies that were not drawn
// (nginx takes no variable for whether to mirror), and the one that sends the
// others. A location of its own has the bound of bodies, as nginx looks at that,
// and complains, before it drops.
func (c *config) writeMirror(w *writer, rule int) error {
	modern := c.backends[slices.IndexFunc(c.backends, func(b backend) bool { return b.side == plan.Modern })]
	to, target := c.mirrorPath(rule)+"/modern", "$request_uri"
	var rewriting *render.Rule
	if rule != plainRule {
		rewriting, target = &c.rules[rule], c.names.variable("target")
	}
	w.open("location = %s", c.mirrorPath(rule))
	w.directive("internal")
	w.directive("access_log", "off")
	w.open("if (%s = 1)", c.names.variable("copied"))
	w.directive("rewrite", "^", to, "last")
	w.close()
	w.directive("return", "204")
	w.close()

	w.open("location = %s", to)
	w.directive("internal")
	w.directive("access_log", "off")
	w.comment("In place of the server's: a copy that fails must not be sent elsewhere, and no answer to one be kept.")
	w.directive("error_page", "599", to)
	w.directive("proxy_intercept_errors", "off")
	w.directive("proxy_cache", "off")
	w.directive("proxy_store", "off")
	w.directive("client_max_body_size", mirrorBody)
	w.directive("proxy_pass", quote(modern.pass(c.names)+target))
	w.directive("proxy_http_version", "1.1")
	if err := c.writeHeaders(w, rewriting, string(plan.Modern), `""`, `""`); err != nil {
		return err
	}
	if !c.bodies() {
		w.directive("proxy_pass_request_body", "off")
		w.directive("proxy_set_header", "Content-Length", `""`)
	}
	if modern.scheme == "https" {
		w.directive("proxy_ssl_server_name", "on")
		w.directive("proxy_ssl_name", quote(modern.host))
	}
	w.comment("The next request of the client's connection waits for the copy.")
	w.directive("proxy_connect_timeout", mirrorConnect)
	w.directive("proxy_send_timeout", mirrorSend)
	w.directive("proxy_read_timeout", mirrorRead)
	w.directive("proxy_next_upstream", "off")
	w.close()
	return nil
}
