package nginx

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

func (c *config) responds() bool {
	for _, r := range c.rules {
		if r.Respond != nil {
			return true
		}
	}
	return false
}

func (c *config) tls() bool {
	for _, b := range c.backends {
		if b.scheme == "https" {
			return true
		}
	}
	return false
}

// locations writes the plan's `location /`, those of its answers, and its
// version.
func (c *config) locations() ([]byte, error) {
	var w writer
	if err := c.writeRoot(&w); err != nil {
		return nil, err
	}
	for i, r := range c.rules {
		switch {
		case r.Respond != nil:
			if err := c.writeRespond(&w, ruleName(i), *r.Respond); err != nil {
				return nil, &Refusal{Rule: i, Err: fmt.Errorf("respond: %w", err)}
			}
		case r.Rewrite != nil:
			if err := c.writeRewriting(&w, i); err != nil {
				return nil, &Refusal{Rule: i, Err: fmt.Errorf("rewrite: %w", err)}
			}
		}
	}
	if err := c.writeMirrors(&w); err != nil {
		return nil, err
	}
	c.writeVersion(&w)
	return w.bytes(), nil
}

func (c *config) writeRoot(w *writer) error {
	w.open("location /")
	w.comment("What servers read differently, nginx and those behind it: package render says more.")
	w.open("if ($request_uri ~* %s)", quote(ambiguous))
	w.directive("add_header", sideHeader, `""`) // in place of that of the location
	w.directive("return", "400")
	w.close()
	if c.responds() {
		v := c.names.variable("respond")
		w.open("if (%s)", v)
		w.directive("rewrite", "^", quote(c.respondPath(v)), "last")
		w.close()
	}
	c.writeHandOver(w)
	if len(c.backends) == 0 {
		w.directive("return", "404")
		w.close()
		return nil
	}
	c.writeMirrorOf(w, plainRule)
	if err := c.writeProxy(w, c.names.variable("pass"), nil); err != nil {
		return err
	}
	w.close()
	return nil
}

// writeProxy writes how requests are sent on; rule is nil but for one that
// rewrites.
func (c *config) writeProxy(w *writer, pass string, rule *render.Rule) error {
	w.directive("proxy_pass", quote(pass))
	w.directive("proxy_redirect", "off")
	w.directive("proxy_http_version", "1.1")
	if err := c.writeHeaders(w, rule, c.told(), c.names.variable("connection"), c.names.variable("upgrade")); err != nil {
		return err
	}
	if c.tls() {
		w.directive("proxy_ssl_server_name", "on")
		w.directive("proxy_ssl_name", c.names.variable("tls"))
	}
	w.comment("Tried again on another connection: what was not sent yet, and what is idempotent; never a POST or PATCH.")
	w.directive("proxy_next_upstream", "error")
	w.directive("proxy_hide_header", sideHeader)
	w.directive("add_header", sideHeader, c.chosenSide(), "always")
	return nil
}

// writeHeaders writes those that a backend gets in place of the client's: those
// of the gateway, and those of a rule that rewrites, which go before but for the
// side.
func (c *config) writeHeaders(w *writer, rule *render.Rule, side, connection, upgrade string) error {
	var own plan.Rewrite
	if rule != nil {
		own = *rule.Rewrite
	}
	set := [][2]string{
		{"Host", c.names.variable("host")}, {"Connection", connection}, {"Upgrade", upgrade}, {"X-Real-IP", "$remote_addr"},
		{"X-Forwarded-For", "$proxy_add_x_forwarded_for"}, {"X-Forwarded-Host", c.names.variable("host")}, {"X-Forwarded-Proto", "$scheme"},
		{sideHeader, side},
	}
	if own.Host != "" {
		host, err := c.texts.expandable(own.Host)
		if err != nil {
			return err
		}
		set[0][1] = quote(host)
	}
	if o := c.plan.Spec.Override; o != nil {
		value := `""`
		if rule == nil && c.bridged() {
			value = c.names.variable("forced")
		}
		set = append(set, [2]string{quote(o.Header), value})
	}
	for _, name := range slices.Sorted(maps.Keys(own.Headers)) {
		if strings.EqualFold(name, sideHeader) {
			continue
		}
		value, err := c.texts.expandable(own.Headers[name])
		if err != nil {
			return err
		}
		set = slices.DeleteFunc(set, func(h [2]string) bool { return strings.EqualFold(h[0], name) })
		set = append(set, [2]string{quote(name), quote(value)})
	}
	for _, h := range set {
		w.directive("proxy_set_header", h[0], h[1])
	}
	return nil
}

const sideHeader = "X-Changeover-Side"

// ambiguous matches a request's target as written that holds a fragment, or in its
// path a ; (an escaped one too, behind dots), or both an encoded slash and a segment
// `..`.
const ambiguous = `#|\A[^?]*(?:;|(?:/|%2f)(?:\.|%2e){1,2}%3b)|\A(?=[^?]*%2f)[^?]*(?:/|%2f)(?:\.|%2e){2}(?:[/?]|%2f|\z)`

func (c *config) respondPath(rule string) string {
	return internalPrefix + c.plan.Metadata.Name + "/respond/" + rule
}

// defaultType is the content type of an answer that names none, as the bridge's.
const defaultType = "text/plain; charset=utf-8"

func (c *config) writeRespond(w *writer, rule string, r plan.Respond) error {
	if r.Status < 200 || r.Status > 599 {
		return fmt.Errorf("status %d is not from 200 to 599", r.Status)
	}
	if r.Status == 444 {
		return fmt.Errorf("status 444: nginx closes the connection in place of it, choose another")
	}
	names, err := headerNames(r.Headers)
	if err != nil {
		return err
	}
	w.open("location = %s", c.respondPath(rule))
	w.directive("internal")
	w.line("types { }")
	contentType, answer := "", r.Body
	if answer != "" {
		contentType = defaultType
	}
	for _, name := range names {
		value := r.Headers[name]
		switch {
		case strings.EqualFold(name, "Content-Type"):
			contentType = value
		case strings.EqualFold(name, "Location") && redirects(r.Status):
			// Here nginx takes the location in place of a body.
			if r.Body != "" {
				return fmt.Errorf("nginx cannot send a body with status %d: leave it out, or use the bridge as gateway", r.Status)
			}
			answer = value
		default:
			text, err := c.texts.expandable(value)
			if err != nil {
				return fmt.Errorf("header %q: %w", name, err)
			}
			w.directive("add_header", quote(name), quote(text), "always")
		}
	}
	if len(contentType) > maxToken/2 {
		return fmt.Errorf("the content type has %d bytes, nginx can take at most %d", len(contentType), maxToken/2)
	}
	w.directive("default_type", quote(contentType))
	if answer == "" && redirects(r.Status) {
		return fmt.Errorf("status %d needs the header Location", r.Status)
	}
	if err := c.writeReturn(w, r.Status, answer); err != nil {
		return err
	}
	w.close()
	return nil
}

// writeReturn ends a location. An empty answer is a variable all the same: for
// `return 410 ""` nginx would send an error page.
func (c *config) writeReturn(w *writer, status int, answer string) error {
	write := c.texts.expandable
	if answer == "" {
		write = c.texts.text
	}
	text, err := write(answer)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	w.directive("absolute_redirect", "off")
	w.directive("return", strconv.Itoa(status), quote(text))
	return nil
}

func redirects(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// ownHeaders are those of the connection, which nginx writes itself.
var ownHeaders = []string{"connection", "content-length", "date", "keep-alive", "server", "trailer", "transfer-encoding", "upgrade"}

// headerNames returns the names in order, once they are found fit to send.
func headerNames(headers map[string]string) ([]string, error) {
	names := slices.Sorted(maps.Keys(headers))
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		lower, value := strings.ToLower(name), headers[name]
		switch {
		case !isToken(name) || len(name) > 256:
			return nil, fmt.Errorf("%q is no name of a header", name)
		case seen[lower]:
			return nil, fmt.Errorf("header %q is named twice, in another case", name)
		case slices.Contains(ownHeaders, lower):
			return nil, fmt.Errorf("header %q: nginx writes it itself, leave it out", name)
		case value == "":
			return nil, fmt.Errorf("header %q: nginx sends no header without a value, leave it out", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf("the value of header %q holds a control character", name)
		}
		seen[lower] = true
	}
	return names, nil
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// writeVersion writes the locations of Changeover itself. They refuse by `if`:
// nginx runs return before allow and deny.
func (c *config) writeVersion(w *writer) {
	w.open("location = %s", VersionPath(c.plan))
	w.directive("access_log", "off")
	w.open("if (%s = 0)", c.names.variable("local"))
	w.directive("return", "403")
	w.close()
	w.directive("default_type", "text/plain")
	w.directive("add_header", "Cache-Control", "no-store", "always")
	w.directive("return", "200", `"`+placeholder+` $pid\n"`)
	w.close()
	w.open("location ^~ %s", internalPrefix)
	w.directive("return", "404")
	w.close()
}
