package screen_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/screen"
)

func TestWrap(t *testing.T) {
	long := strings.Repeat("x", 100)
	most := strings.Repeat("é", 78)
	for name, tc := range map[string]struct{ first, rest, text, want string }{
		"empty":               {"Why: ", "     ", "", "Why:\n"},
		"short":               {"Why: ", "     ", "so", "Why: so\n"},
		"blanks are one":      {"", "", "  a  \t b\n", "a b\n"},
		"full in characters":  {"- ", "  ", most, "- " + most + "\n"},
		"one too many":        {"- ", "  ", most + " x", "- " + most + "\n  x\n"},
		"a long word":         {"- ", "  ", "a " + long + " b", "- a\n  " + long + "\n  b\n"},
		"a command":           {"- ", "  ", strings.Repeat("y", 60) + " do `changeover resume shop --reason X`, or", "- " + strings.Repeat("y", 60) + " do\n  `changeover resume shop --reason X`, or\n"},
		"half a command":      {"", "", "do `changeover resume", "do `changeover resume\n"},
		"a command of a word": {"", "", "do `make` now", "do `make` now\n"},
	} {
		if got := screen.Wrap(tc.first, tc.rest, tc.text); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
