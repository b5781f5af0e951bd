package nginx

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/render"
)

// A rule that rewrites has a location of its own, as nginx sets headers by
// location, to which the plan's location hands over. What it asks the backend for
// is $..._target, worked out of $request_uri, so that what stays of the path is as
// the client wrote it. That does where the client wrote the path as rules see it.
// Where it holds runs of slashes or dot segments, $..._target is empty, and the
// path is that which rules see, $..._plain, escaped anew by nginx; and where an
// escape would be lost by that, it is the word refuse.

// unclean matches, behind the rule, a path that nginx reads otherwise than it was
// written, but for escapes; reserved one with an escape that nginx does not write
// again, of a character that may mean something else as itself.
const (
	unclean  = `(?=[^?]*(?:/|%2f)(?:/|%2f|(?:\.|%2e){1,2}(?:[/?]|%2f|\z)))`
	reserved = `(?=[^?]*%(?:2[1467-9abcf]|3[abd]|40|5[bd]))`
	refusal  = "refuse"
)

// checkRewrite refuses what has no meaning, and what nginx cannot send.
func checkRewrite(i int, r render.Rule) error {
	w := r.Rewrite
	switch {
	case w == nil:
		return nil
	case r.Respond != nil:
		return errors.New("rewrite: the route answers itself, so there is nothing to rewrite")
	case w.Path != "" && r.Match.Path == "" && r.Match.PathPrefix == "":
		return errors.New("rewrite: the route matches no path that it could replace")
	case w.Path != "" && (w.Path[0] != '/' || strings.ContainsAny(w.Path, "?#")):
		return &Refusal{Rule: i, Err: fmt.Errorf("rewrite: %q is no path", w.Path)}
	case strings.ContainsFunc(w.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#@", r) }):
		return &Refusal{Rule: i, Err: fmt.Errorf("rewrite: %q is no host", w.Host)}
	}
	if _, err := headerNames(w.Headers); err != nil {
		return &Refusal{Rule: i, Err: fmt.Errorf("rewrite: %w", err)}
	}
	return nil
}

func (c *config) rewrites() bool {
	return slices.ContainsFunc(c.rules, func(r render.Rule) bool { return r.Rewrite != nil })
}

// prefixed reports whether a rule replaces the beginning of a path.
func prefixed(r render.Rule) bool {
	return r.Rewrite != nil && r.Rewrite.Path != "" && r.Match.PathPrefix != ""
}

func (c *config) rewritePath(rule string) string {
	return internalPrefix + c.plan.Metadata.Name + "/rewrite/" + rule
}

// writeRewrites writes which rules rewrite, and what they ask for.
func (c *config) writeRewrites(w *writer) error {
	if !c.rewrites() {
		return nil
	}
	w.comment("What is rewritten: the path as the client wrote it where it can be, else as rules see it.")
	w.open("map %s %s", c.names.variable("rule"), c.names.variable("rewrite"))
	for i, r := range c.rules {
		if r.Rewrite != nil {
			w.directive(ruleName(i), ruleName(i))
		}
	}
	w.directive("default", `""`)
	w.close()
	var plain writer
	w.open("map %s %s", quote(c.names.variable("rule")+":$request_uri"), c.names.variable("target"))
	for i, r := range c.rules {
		if r.Rewrite == nil {
			continue
		}
		if err := c.writeTarget(w, &plain, `\A`+ruleName(i)+":", r); err != nil {
			return &Refusal{Rule: i, Err: fmt.Errorf("rewrite: %w", err)}
		}
	}
	w.directive("default", `""`)
	w.close()
	if plain.b.Len() > 0 {
		w.open("map %s %s", quote(c.names.variable("rule")+":"+c.names.variable("path")), c.names.variable("plain"))
		for line := range strings.Lines(plain.b.String()) {
			w.line(strings.TrimSuffix(line, "\n"))
		}
		w.close()
	}
	return nil
}

// writeTarget writes the entries of one rule, which begin with rule: into w by
// the path as it was written, into plain by the one that rules see.
func (c *config) writeTarget(w, plain *writer, rule string, r render.Rule) error {
	to := r.Rewrite.Path
	switch {
	case to == "":
		w.directive(quote("~"+rule+`(/.*)\z`), `"$1"`)
		w.directive(quote("~"+rule+`(.*)\z`), `"/$1"`) // a client may leave out a path that is /
		return nil
	case !prefixed(r):
		return c.writeEntry(w, rule+`[^?]*(.*)\z`, escape(to))
	}
	from := r.Match.PathPrefix
	if strings.HasSuffix(from, "/") && !strings.HasSuffix(to, "/") {
		to += "/" // whole segments replace whole segments
	}
	w.directive(quote("~*"+rule+unclean+reserved), refusal)
	w.directive(quote("~*"+rule+unclean), `""`)
	for _, form := range []struct {
		w              *writer
		prefix, target string
	}{{w, rule + escapedPattern(from), escape(to)}, {plain, "(?s)" + rule + literalPattern(from), to}} {
		if strings.HasSuffix(to, "/") {
			// What follows brings its slash.
			if err := c.writeEntry(form.w, form.prefix+`(/.*)\z`, strings.TrimSuffix(form.target, "/")); err != nil {
				return err
			}
		}
		if err := c.writeEntry(form.w, form.prefix+`(.*)\z`, form.target); err != nil {
			return err
		}
	}
	return nil
}

// writeEntry writes one entry of a map, to a text and what the pattern captures.
func (c *config) writeEntry(w *writer, pattern, text string) error {
	key := quote("~" + pattern)
	if len(key) > maxToken {
		return fmt.Errorf("the path takes %d bytes in nginx's words, it reads at most %d: match a shorter one", len(key), maxToken)
	}
	if text != "" {
		var err error
		if text, err = c.texts.expandable(text); err != nil {
			return err
		}
	}
	w.directive(key, quote(text+"$1"))
	return nil
}

func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// escapedPattern matches a path as clients may write it: each byte as itself or
// escaped.
func escapedPattern(path string) string {
	var b strings.Builder
	for i := range len(path) {
		hex := func(n byte) string {
			digit := "0123456789abcdef"[n : n+1]
			if n > 9 {
				return "[" + digit + strings.ToUpper(digit) + "]"
			}
			return digit
		}
		fmt.Fprintf(&b, "(?:%s|%%%s%s)", literalPattern(path[i:i+1]), hex(path[i]>>4), hex(path[i]&15))
	}
	return b.String()
}

// writeHandOver writes, into the plan's location, that rules which rewrite have
// their own.
func (c *config) writeHandOver(w *writer) {
	if !c.rewrites() {
		return
	}
	if slices.ContainsFunc(c.rules, prefixed) {
		w.directive("set", c.names.variable("path"), "$uri") // it is another in the next location
	}
	v := c.names.variable("rewrite")
	w.open("if (%s)", v)
	w.directive("rewrite", "^", quote(c.rewritePath(v)), "last")
	w.close()
}

// writeRewriting writes the location of a rule that rewrites.
func (c *config) writeRewriting(w *writer, i int) error {
	r := c.rules[i]
	target := c.names.variable("target")
	w.open("location = %s", c.rewritePath(ruleName(i)))
	w.directive("internal")
	c.writeMirrorOf(w, i)
	if prefixed(r) {
		w.open("if (%s = %s)", target, refusal)
		w.directive("add_header", sideHeader, `""`)
		w.directive("return", "400")
		w.close()
		w.open(`if (%s = "")`, target)
		if c.mirrors(r) {
			w.directive("set", c.names.variable("copied"), "0") // the copy's location has no way to this path
		}
		w.directive("rewrite", "^", c.names.variable("plain"), "break")
		w.close()
	}
	if err := c.writeProxy(w, c.names.variable("pass")+target, &r); err != nil {
		return err
	}
	w.close()
	return nil
}
