package scaffold

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/changeover-dev/changeover/plan"
)

// directive is one of an nginx config, with its block where it has one.
type directive struct {
	words []string
	block []directive
	line  int
}

func (d directive) is(name string) bool { return d.words[0] == name }

// FromNGINX reads an nginx config and takes what its location sends requests to
// for legacy. Where there are several that do, location says which. Files that it
// includes are not read.
func FromNGINX(src, location string) (Today, error) {
	p := &nginxParser{rest: src, line: 1}
	all, err := p.block(0)
	if err != nil {
		return Today{}, err
	}
	upstreams := map[string]directive{}
	var proxied []directive
	walk(all, func(d directive) {
		switch {
		case d.is("upstream") && len(d.words) == 2:
			upstreams[d.words[1]] = d
		case d.is("location") && proxyPass(d) != "":
			proxied = append(proxied, d)
		}
	})
	d, err := pickLocation(proxied, location)
	if err != nil {
		return Today{}, err
	}
	t := Today{From: "location " + d.words[len(d.words)-1] + " of nginx", Gateway: plan.Gateway{NGINX: &plan.NGINXGateway{}}}
	target := proxyPass(d)
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || strings.Contains(target, "$") {
		return Today{}, fmt.Errorf("line %d: proxy_pass %s is no URL of a backend that could be taken over", d.line, target)
	}
	if up, ok := upstreams[u.Host]; ok {
		servers := 0
		for _, s := range up.block {
			if s.is("server") && len(s.words) > 1 {
				if servers++; servers == 1 {
					u.Host = s.words[1]
				}
			}
		}
		switch {
		case servers == 0:
			return Today{}, fmt.Errorf("line %d: upstream %s has no server", up.line, up.words[1])
		case servers > 1:
			t.note(fmt.Sprintf("Upstream %s has %d servers, and a backend of a plan is one URL: the first is taken. Put the others behind one address.", up.words[1], servers))
		}
	}
	if u.Path != "" && u.Path != "/" {
		t.note("proxy_pass replaces the path by " + u.Path + ": a plan does that by rewrite.")
	}
	t.Legacy.URL = u.Scheme + "://" + u.Host
	if path := d.words[len(d.words)-1]; path != "/" {
		t.paths([]string{strings.Join(d.words[1:], " ")})
	}
	t.note("The plan's files hold `location /`. In the server block, its include takes the place of this location.")
	return t, nil
}

func proxyPass(location directive) string {
	for _, d := range location.block {
		if d.is("proxy_pass") && len(d.words) == 2 {
			return d.words[1]
		}
	}
	return ""
}

func pickLocation(proxied []directive, location string) (directive, error) {
	var names []string
	var match []directive
	for _, d := range proxied {
		name := d.words[len(d.words)-1]
		names = append(names, fmt.Sprintf("%s (line %d)", name, d.line))
		if location == "" || name == location {
			match = append(match, d)
		}
	}
	switch {
	case len(proxied) == 0:
		return directive{}, fmt.Errorf("no location has a proxy_pass: files that are included are not read, give the one that has it")
	case len(match) == 1:
		return match[0], nil
	case location == "":
		return directive{}, fmt.Errorf("several locations have a proxy_pass, %s: say with --location which of them moves", strings.Join(names, ", "))
	case len(match) == 0:
		return directive{}, fmt.Errorf("no location %q has a proxy_pass, but %s", location, strings.Join(names, ", "))
	}
	return directive{}, fmt.Errorf("there are several locations %q, %s: leave only the server block that is meant in the file", location, strings.Join(names, ", "))
}

func walk(ds []directive, each func(directive)) {
	for _, d := range ds {
		each(d)
		walk(d.block, each)
	}
}

// nginxParser reads directives: words that end with ; or have a block.
type nginxParser struct {
	rest string
	line int
}

// maxNesting is deeper than any real config.
const maxNesting = 32

func (p *nginxParser) block(depth int) ([]directive, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("line %d: the blocks are nested too deep", p.line)
	}
	var out []directive
	var words []string
	start := p.line
	for {
		w, quoted, err := p.word()
		switch {
		case err != nil:
			return nil, err
		case w == "" && !quoted:
			if depth > 0 || len(words) > 0 {
				return nil, fmt.Errorf("line %d: the file ends within what begins at line %d", p.line, start)
			}
			return out, nil
		case quoted || !slices.Contains([]string{";", "{", "}"}, w):
			if len(words) == 0 {
				start = p.line
			}
			words = append(words, w)
			continue
		case w == "}" && len(words) == 0 && depth > 0:
			return out, nil
		case len(words) == 0 || w == "}":
			return nil, fmt.Errorf("line %d: unexpected %q", p.line, w)
		}
		d := directive{words: words, line: start}
		if w == "{" {
			if d.block, err = p.block(depth + 1); err != nil {
				return nil, err
			}
		}
		out, words = append(out, d), nil
	}
}

// word is the next one, or one of ; { }, and empty at the end.
func (p *nginxParser) word() (word string, quoted bool, err error) {
	p.skip()
	if p.rest == "" {
		return "", false, nil
	}
	switch c := p.rest[0]; c {
	case ';', '{', '}':
		p.rest = p.rest[1:]
		return string(c), false, nil
	case '\'', '"':
		return p.quoted(c)
	}
	end := 0
	for end < len(p.rest) && !strings.ContainsRune(" \t\r\n;{", rune(p.rest[end])) {
		switch {
		case p.rest[end] == '\\' && end+1 < len(p.rest):
			end++
		case strings.HasPrefix(p.rest[end:], "${"): // a variable's name
			if i := strings.IndexByte(p.rest[end:], '}'); i > 0 {
				end += i
			}
		}
		end++
	}
	word, p.rest = p.rest[:end], p.rest[end:]
	return word, false, nil
}

func (p *nginxParser) quoted(quote byte) (string, bool, error) {
	start := p.line
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return b.String(), true, nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			if c == '\n' {
				p.line++
			}
			b.WriteByte(c)
		}
	}
	return "", false, fmt.Errorf("line %d: the text that begins here has no end", start)
}

// skip passes over spaces and comments.
func (p *nginxParser) skip() {
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == '\n':
			p.line++
		case c == '#':
			end := strings.IndexByte(p.rest, '\n')
			if end < 0 {
				end = len(p.rest)
			}
			p.rest = p.rest[end:]
			continue
		case !unicode.IsSpace(rune(c)):
			return
		}
		p.rest = p.rest[1:]
	}
}
