package nginx

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// expressions in which RE2 and PCRE differ where the source is kept, or which
// people write.
var expressions = []string{
	`^`, `$`, `^/a$`, `^/a\z`, `\A/a`, `(?i)^/CAFÉ`, `(?i)k`, `(?i)ſ`, `/v[0-9]+/`, `^/[^/]+/x$`, `^/.$`, `^/..$`, `^/.{3}$`, `^/(?s:.)$`,
	`(?m)^b`, `(?m)a$`, `(?m)^$`, `\ba\b`, `\Ba`, `\d\D`, `\s`, `\S\S`, `\w+$`, `[[:alpha:]]+$`, `[^[:alnum:]/]`, `\p{Greek}`, `\PZ`,
	`[\x{100}-\x{10ffff}]`, `[^\x{e9}]$`, `\x{1F600}`, `\Qa.b\E`, `a|b|`, `(?:a|ab)(?:c|bcd)`, `(a|b)*c`, `^(/[a-z]+)*$`, `^(a+)+$`, `(?:)`,
	`a{0}`, `a{2,3}$`, `^/a{0,2}?b`, `[]a]`, `[a\]\-^]`, `#`, ` `, `[\n]`, `\x0a`, `\.`, `"`, `\\`, `;|\{|\}`, `\$`, `(?P<name>a)`, `(?U)a+`, `\C?`,
	`[^\x00-\x{10FFFF}]`, `^/[\x{d7ff}-\x{e000}]`, `(?i)[a-z]{2}`, `^[^\n]*$`, `^/a.*b.*c`, `^/[^é]+$`, `[^\x00-\xff]`, `^/(?i:ÿ)*.$`, `^/α*.$`,
}

// paths are decoded; those that differ from themselves when normalised are no
// use here.
var paths = []string{
	"/", "/a", "/a\n", "/a\nb", "/ab", "/abcd", "/café", "/CAFÉ", "/K", "/ſ", "/é", "/éé", "/ééé", "/😀", "/α", "/v1/", "/v12/x", "/a b", "/a.b", "/axb",
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "/a\"b", `/a\b`, "/{;}", "/$x", "/#", "/a\tb", "/\u2028", "/\ue000", "/a/b/c", "/a-b_c", "/]", "/^-", "/abc", "/x/x", "/\x7f",
	"/\xff", "/a\xff", "/\xe9", "/é\xe9", "/\xed\xa0\x80", "/\xc0\xaf", "/\xf4\x90\x80\x80", "/\xc3", "/a\xff/v1/x", "/\xff\n", "/\xc9\xff",
}

func TestPCREMatchesWhatRE2Matches(t *testing.T) {
	exprs := expressions[:0:0]
	for _, e := range expressions {
		if _, err := regexp.Compile(e); err == nil {
			exprs = append(exprs, e)
		}
	}
	matches := serveRegexes(t, exprs)
	for _, path := range paths {
		compare(t, exprs, path, matches(path))
	}
}

// TestPCREMatchesWhatRE2MatchesAtRandom builds expressions and paths from few
// letters, so that they often match.
func TestPCREMatchesWhatRE2MatchesAtRandom(t *testing.T) {
	atom := rapid.SampledFrom([]string{`a`, `b`, `é`, `.`, `[^a]`, `[ab]`, `\w`, `\W`, `\b`, `^`, `$`, `\z`, `/`, `(?i:É)`, `(?s:.)`, `(?m:^)`, `(?m:$)`, `\n`, `[^é]`})
	var expr func(depth int) *rapid.Generator[string]
	expr = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			if depth == 0 || rapid.Bool().Draw(t, "leaf") {
				return atom.Draw(t, "atom")
			}
			a, b := expr(depth-1).Draw(t, "a"), expr(depth-1).Draw(t, "b")
			return rapid.SampledFrom([]string{a + b, "(" + a + "|" + b + ")", "(?:" + a + ")*" + b, "(" + a + ")+?" + b, "(?:" + a + "){1,2}", a + "|" + b, "(" + a + ")?" + b}).Draw(t, "shape")
		})
	}
	var exprs []string
	for i := 0; len(exprs) < 400; i++ {
		if e := expr(3).Example(i); compiles(e) {
			exprs = append(exprs, e)
		}
	}
	matches := serveRegexes(t, exprs)
	letters := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "É", "\n", "x", "-", "\xe9"}), 0, 6)
	for i := range 150 {
		path := "/" + strings.Join(letters.Example(i), "")
		compare(t, exprs, path, matches(path))
	}
}

func compiles(expr string) bool {
	_, err := regexp.Compile(expr)
	return err == nil
}

func compare(t *testing.T, exprs []string, path, got string) {
	t.Helper()
	if len(got) != len(exprs) {
		t.Fatalf("path %q: nginx answers %q", path, got)
	}
	text := path
	if !utf8.ValidString(path) {
		text = ""
		for i := range len(path) {
			text += string(rune(path[i]))
		}
	}
	for i, e := range exprs {
		want := byte('0')
		if regexp.MustCompile(e).MatchString(text) {
			want = '1'
		}
		if got[i] != want {
			p, _ := pcre(e)
			t.Errorf("%q on %q: nginx says %c, RE2 %c; written as %s", e, path, got[i], want, p)
		}
	}
}

// serveRegexes runs an nginx that answers each path with one digit for each
// expression.
func serveRegexes(t *testing.T, exprs []string) func(path string) string {
	t.Helper()
	s := nginxtest.New(t, nginxtest.Config{HTTP: "variables_hash_max_size 8192;"})
	var w writer
	var rules []render.Rule
	for _, e := range exprs {
		rules = append(rules, render.Rule{Match: plan.Match{PathRegex: e}})
	}
	m, err := newMatcher("x", rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.writeRegexes(&w, rules); err != nil {
		t.Fatal(err)
	}
	var l writer
	l.open("location /")
	all := ""
	for part := range slices.Chunk(exprs, 100) {
		digits := ""
		for _, e := range part {
			digits += "${" + m.index[e][1:] + "}"
		}
		name := fmt.Sprintf("$all%d_", len(all))
		l.directive("set", name, quote(digits))
		all += name
	}
	l.directive("return", "200", quote(all))
	l.close()
	dir := filepath.Join(s.Dir, "changeover")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"x.maps.conf": w.bytes(), "x.locations.conf": l.bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Run()
	t.Cleanup(func() {
		// -47 and -8 are the limit of a match, in the two versions of PCRE.
		log := strings.NewReplacer("failed: -47 on", "", "failed: -8 on", "").Replace(s.Log())
		if strings.Contains(log, "() failed: ") {
			t.Errorf("nginx says:\n%s", log)
		}
	})
	return func(path string) string {
		u := url.URL{Path: path}
		resp, err := http.Get(s.URL + u.EscapedPath())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

func TestPatternThatWouldBacktrackWithoutEndIsBounded(t *testing.T) {
	s := serveRegexes(t, []string{`^/(a+)+(a+)+(a+)+$`})
	if got := s("/" + strings.Repeat("a", 2000) + "!"); got != "0" {
		t.Errorf("nginx answers %q", got)
	}
}

func FuzzPCRE(f *testing.F) {
	for _, e := range expressions {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		out, err := pcre(expr)
		if err != nil {
			return
		}
		// Only ASCII that stands for itself may come out: no quote of the
		// config, no blank, no line break.
		for _, out := range []string{out.text, out.bytes} {
			if i := strings.IndexFunc(out, func(r rune) bool { return r <= ' ' || r >= 0x7f }); i >= 0 {
				t.Errorf("%q is written as %q", expr, out)
			}
		}
	})
}
