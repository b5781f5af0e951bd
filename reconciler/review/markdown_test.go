package review_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	mdhtml "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/review"
)

// hostile are texts of which each would be something else in Markdown.
var hostile = []string{
	"@everyone", "#1", "GH-7", "!2", "ada@example.com", "https://example.com/x", "www.example.com", "<script>alert(1)</script>",
	"<!-- changeover:review -->", "</details>", "</code>", "|", "\\|", "`", "```", "````\n", "\n\n# Title\n", "\n- list\n", "\n> quote\n", "**bold**",
	"[link](http://example.com)", "![image](http://example.com/a.png)", "~~gone~~", "&lt;", "&#64;everyone", "\u202e", "\x00", "\x1b[2J", "\r", "\t",
	"/close", "$x$", "word", " ", "é", "日本", "\\", "_", "<a href=x>", "\xff", "owner/repo#9", "+", "-", "~~~",
}

func texts() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(0, 12).Draw(t, "pieces")
		if rapid.IntRange(0, 30).Draw(t, "long") == 0 {
			n = 3000
		}
		var b strings.Builder
		piece := rapid.SampledFrom(hostile)
		for i := range n {
			if n > 12 {
				b.WriteString(hostile[i%len(hostile)])
				continue
			}
			b.WriteString(piece.Draw(t, "piece"))
		}
		return b.String()
	})
}

func reviews() *rapid.Generator[review.Review] {
	text := texts()
	return rapid.Custom(func(t *rapid.T) review.Review {
		s := func() string { return text.Draw(t, "text") }
		pos := func() plan.Position { return plan.Position{Phase: s(), Percent: 25} }
		some := func(most int) int { return rapid.IntRange(0, most).Draw(t, "some") }
		r := review.Review{Base: review.Side{Name: s(), Revision: plan.Revision(s())}, Head: review.Side{Name: s()}, Evaluated: some(1) == 1}
		for range some(6) {
			p := review.Plan{
				Key: plan.Key{Namespace: s(), Name: s()}, File: s(), MovedFrom: s(), From: pos(), To: pos(), Breach: s(), GatesError: "", Notes: []string{s()},
				Kind: rapid.SampledFrom([]review.Kind{review.Invalid, review.New, review.Removed, review.Raise, review.Lower, review.Elsewhere, review.Content, review.Cascade}).Draw(t, "kind"),
				Does: review.Decision{Verb: decide.Hold, Reason: "X", Message: s()},
			}
			for range some(4) {
				p.Way = append(p.Way, review.Stop{Position: pos(), Bake: s()})
				p.Illegal = append(p.Illegal, review.Finding{Code: s(), Message: s(), Hint: s()})
				p.Holds = append(p.Holds, review.Hold{Reason: decide.Reason(s()), Stop: pos(), Message: s()})
				p.Gates = append(p.Gates, review.Gate{Stops: []plan.Position{pos()}, Effect: plan.Pause, Name: s(), Expr: s(), For: s(), Verdict: gates.Pass, Detail: s()})
				p.Problems = append(p.Problems, plan.Problem{File: s(), Line: 1, Column: 2, Code: s(), Message: s(), Hint: s(), Source: s()})
				p.Fields = append(p.Fields, s())
				p.Gateway = append(p.Gateway, review.Diff{Name: s(), Change: review.Changed, Text: "+" + s()})
				p.Cluster = append(p.Cluster, review.Diff{Name: s(), Change: review.Added, Text: strings.Repeat("+"+s()+"\n", 1+some(200))})
			}
			r.Plans = append(r.Plans, p)
		}
		return r
	})
}

var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(mdhtml.WithUnsafe()))

// tags are all that a review is made of.
var tags = strings.Fields("html head body h3 h4 p table thead tbody tr th td code pre details summary strong br")

var reference = regexp.MustCompile(`[@#!$%~&][\pL\d"_]|GH-\d`)

// outside walks a document and reports what may not be there.
func outside(n *html.Node, inCode bool, report func(string, ...any)) {
	switch n.Type {
	case html.ElementNode:
		if !slices.Contains(tags, n.Data) {
			report("element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if n.Data != "code" || a.Key != "class" || a.Val != "language-diff" && a.Val != "language-text" {
				report("attribute %s=%q of <%s>", a.Key, a.Val, n.Data)
			}
		}
		inCode = inCode || n.Data == "code" || n.Data == "pre"
	case html.CommentNode:
		if "<!--"+n.Data+"-->" != review.Marker {
			report("comment %q", n.Data)
		}
	case html.TextNode:
		if m := reference.FindString(n.Data); m != "" && !inCode {
			report("reference %q in %q", m, n.Data)
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		outside(c, inCode, report)
	}
}

// counts the elements of a name.
func counts(n *html.Node, name string) (found int) {
	if n.Type == html.ElementNode && n.Data == name {
		found++
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		found += counts(c, name)
	}
	return found
}

func rendered(t interface{ Fatal(...any) }, md string) *html.Node {
	var out bytes.Buffer
	if err := markdown.Convert([]byte(md), &out); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestNothingInAPlanIsMarkdown renders reviews full of hostile texts as forges
// do, and looks at what came of it.
func TestNothingInAPlanIsMarkdown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := reviews().Draw(t, "review")
		md := review.Markdown(r)
		if len(md) > review.MaxMarkdown {
			t.Fatalf("%d bytes", len(md))
		}
		if !strings.HasPrefix(md, review.Marker+"\n") || strings.Count(md, review.Marker) > 1 && len(r.Plans) == 0 {
			t.Fatalf("the marker is not where it should be")
		}
		if i := strings.IndexFunc(md, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsGraphic(r) }); i >= 0 {
			t.Errorf("control character in %q", md[max(i-20, 0):i+4])
		}
		doc := rendered(t, md)
		outside(doc, false, func(format string, args ...any) { t.Errorf(format, args...) })
		plans, tables, folds := counts(doc, "h4"), counts(doc, "table"), counts(doc, "details")
		if plans > len(r.Plans) || tables < plans || folds != strings.Count(md, "<details>") && !strings.Contains(md, "```") {
			t.Errorf("%d headings, %d tables, %d folded parts", plans, tables, folds)
		}
	})
}

func TestMuchIsCutAndSaid(t *testing.T) {
	var r review.Review
	for i := range 400 {
		p := review.Plan{Key: plan.Key{Namespace: "default", Name: fmt.Sprintf("plan-%d", i)}, Kind: review.Content, To: plan.Position{Phase: "setup"}}
		p.Cluster = []review.Diff{{Name: "ConfigMap x", Change: review.Changed, Text: strings.Repeat("+line of a manifest\n", 3000), Plus: 3000}}
		r.Plans = append(r.Plans, p)
	}
	for _, n := range []int{1, 3, 400} {
		cut := r
		cut.Plans = r.Plans[:n]
		md := review.Markdown(cut)
		if len(md) > review.MaxMarkdown || len(md) < 15_000 || !strings.Contains(md, "Some of it is left out here") {
			t.Errorf("%d plans: %d bytes, ending in %q", n, len(md), md[len(md)-200:])
		}
		doc := rendered(t, md)
		if n == 3 && counts(doc, "details") != 3 {
			t.Error("the first plan took the room of the others")
		}
		if counts(doc, "h4") < min(n, 50) || counts(doc, "details") != strings.Count(md, "</details>") {
			t.Errorf("%d plans: %d headings", n, counts(doc, "h4"))
		}
	}
	if md := review.Markdown(r); !strings.Contains(md, "plans more did not fit into this comment") {
		t.Error("plans that are left out are not counted")
	}
}

func TestAReviewOfNothing(t *testing.T) {
	md := review.Markdown(review.Review{Base: review.Side{Name: "main"}, Head: review.Side{Name: "HEAD"}})
	want := review.Marker + "\n### Changeover: no plan changes\n\nFrom <code>main</code> to <code>HEAD</code>.\n"
	if md != want {
		t.Errorf("got %q", md)
	}
}
