package nginx

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/test/nginxtest"
)

// expressions in which RE2 and PCRE differ where the source is kept, or which
// people write.
var expressions = []string{
	``, `^`, `$`, `^/a$`, `^/a\z`, `\A/a`, `(?i)^/CAFÉ`, `(?i)k`, `(?i)ſ`, `/v[0-9]+/`, `^/[^/]+/x$`, `^/.$`, `^/..$`, `^/.{3}$`, `^/(?s:.)$`,
	`(?m)^b`, `(?m)a$`, `(?m)^$`, `\ba\b`, `\Ba`, `\d\D`, `\s`, `\S\S`, `\w+$`, `[[:alpha:]]+$`, `[^[:alnum:]/]`, `\p{Greek}`, `\PZ`,
	`[\x{100}-\x{10ffff}]`, `[^\x{e9}]$`, `\x{1F600}`, `\Qa.b\E`, `a|b|`, `(?:a|ab)(?:c|bcd)`, `(a|b)*c`, `^(/[a-z]+)*$`, `^(a+)+$`, `(?:)`,
	`a{0}`, `a{2,3}$`, `^/a{0,2}?b`, `[]a]`, `[a\]\-^]`, `#`, ` `, `[\n]`, `\x0a`, `\.`, `"`, `\\`, `;|\{|\}`, `\$`, `(?P<name>a)`, `(?U)a+`, `\C?`,
	`[^\x00-\x{10FFFF}]`, `^/[\x{d7ff}-\x{e000}]`, `(?i)[a-z]{2}`, `^[^\n]*$`, `^/a.*b.*c`,
}

// paths are decoded; those that differ from themselves when normalised are no
// use here.
var paths = []string{
	"/", "/a", "/a\n", "/a\nb", "/ab", "/abcd", "/café", "/CAFÉ", "/K", "/ſ", "/é", "/éé", "/ééé", "/😀", "/α", "/v1/", "/v12/x", "/a b", "/a.b", "/axb",
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "/a\"b", `/a\b`, "/{;}", "/$x", "/#", "/a\tb", "/\u2028", "/\ue000", "/a/b/c", "/a-b_c", "/]", "/^-", "/abc", "/x/x", "/\x7f",
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
	letters := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "É", "\n", "x", "-"}), 0, 6)
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
	if !utf8.ValidString(path) || len(got) != len(exprs) {
		t.Fatalf("path %q: nginx answers %q", path, got)
	}
	for i, e := range exprs {
		want := byte('0')
		if regexp.MustCompile(e).MatchString(path) {
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
	var all strings.Builder
	for i, e := range exprs {
		p, err := pcre(e)
		if err != nil {
			t.Fatal(err)
		}
		w.open("map $uri $re%d", i)
		w.directive(quote("~"+p), "1")
		w.directive("default", "0")
		w.close()
		fmt.Fprintf(&all, "${re%d}", i)
	}
	var l writer
	l.open("location /")
	l.directive("return", "200", quote(all.String()))
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
		if i := strings.IndexFunc(out, func(r rune) bool { return r <= ' ' || r >= 0x7f }); i >= 0 {
			t.Errorf("%q is written as %q", expr, out)
		}
	})
}
