package route

import (
	"bytes"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Path is the form of a request's path that rules are matched with, as package
// render says; ok is false for a path that has no such form and is refused.
//
// Only matching uses it. Backends get the path as the client wrote it.
func Path(u *url.URL) (p string, ok bool) {
	p = u.Path
	if p == "" { // as in GET http://example.com
		p = "/"
	}
	if hasParameters(u) || p[0] != '/' || strings.IndexByte(p, 0) >= 0 || strings.Contains(u.RawPath, "#") || strings.Contains(u.RawQuery, "#") {
		return "", false
	}
	if isClean(p) {
		return p, true
	}
	p, up, ok := resolve(p)
	if up && strings.Contains(strings.ToUpper(u.RawPath), "%2F") {
		return "", false
	}
	return p, ok
}

// hasParameters reports whether a path as the client wrote it has parameters (;),
// which some servers take out before they resolve dot segments: /a/..;/b is /b for
// them. An escaped ; is a letter as any other, but behind dots.
func hasParameters(u *url.URL) bool {
	if u.RawPath == "" {
		return strings.IndexByte(u.Path, ';') >= 0 // it would be there if one were escaped
	}
	return strings.IndexByte(u.RawPath, ';') >= 0 || dotsBeforeParameter.MatchString(u.Path)
}

var dotsBeforeParameter = regexp.MustCompile(`/\.{1,2};`)

// isClean may say false of a clean path, never true of another.
func isClean(p string) bool {
	for i := 1; i < len(p); i++ {
		if p[i-1] == '/' && (p[i] == '/' || p[i] == '.') {
			return false
		}
	}
	return true
}

// resolve makes runs of slashes one and resolves dot segments. up says whether
// one of them was `..`, ok is false where they lead above the root.
func resolve(p string) (clean string, up, ok bool) {
	out := make([]byte, 0, len(p))
	for rest := p[1:]; ; {
		part, after, more := strings.Cut(rest, "/")
		switch part {
		case "", ".":
		case "..":
			up = true
			if len(out) == 0 {
				return "", up, false
			}
			out = out[:bytes.LastIndexByte(out, '/')]
		default:
			out = append(append(out, '/'), part...)
		}
		if !more {
			// A path that ends in a dot segment names a folder.
			if part == "" || part == "." || part == ".." {
				out = append(out, '/')
			}
			return string(out), up, true
		}
		rest = after
	}
}

// text is what expressions read of a path: one that is no UTF-8 has a
// character for each byte.
func text(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	var b strings.Builder
	for i := range len(path) {
		b.WriteRune(rune(path[i]))
	}
	return b.String()
}
