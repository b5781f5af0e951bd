package shadow

import (
	"strings"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
)

const (
	maxPath     = 512
	maxSegments = 24
	// elsewhere is the template of paths beyond what is kept.
	elsewhere = "(other)"
)

// templates are those that a plan gives, by their segments.
type templates [][]string

func newTemplates(given []string) (out templates) {
	for _, g := range given {
		out = append(out, strings.Split(g, "/"))
	}
	return out
}

// of is the template of a path, and whether it names one thing: whether it holds
// an id.
func (ts templates) of(path string) (template string, oneThing bool) {
	if len(path) > maxPath {
		return elsewhere, false
	}
	segments := strings.Split(path, "/")
	for _, t := range ts {
		if fits(t, segments) {
			template = strings.Join(t, "/")
			return template, strings.Contains(template, "{")
		}
	}
	if len(segments) > maxSegments {
		return elsewhere, false
	}
	for i, s := range segments {
		if compare.LooksLikeValue(s) {
			segments[i], oneThing = "{id}", true
		}
	}
	return strings.Join(segments, "/"), oneThing
}

func fits(template, segments []string) bool {
	if len(template) != len(segments) {
		return false
	}
	for i, t := range template {
		if t != segments[i] && (!strings.HasPrefix(t, "{") || segments[i] == "") {
			return false
		}
	}
	return true
}
