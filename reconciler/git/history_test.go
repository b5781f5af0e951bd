package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// told is what a change says, in one line.
func told(c decide.Change) string {
	out := c.From.String() + ">" + c.To.String()
	for _, f := range []struct {
		is   bool
		name string
	}{{c.Raise, "raise"}, {c.Lower, "lower"}, {c.Content, "content"}, {c.Live, "live"}, {c.Resume, "resume"}} {
		if f.is {
			out += " " + f.name
		}
	}
	return out + ": " + c.Subject
}

func wantChanges(t *testing.T, r *Repository, since, until plan.Revision, want ...string) []decide.Change {
	t.Helper()
	got, err := r.Changes(t.Context(), shop, since, until)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, told(c))
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	return got
}

func TestChangesTellRaisesLowersAndContent(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	f.commit("docs", "README.md", "docs\n")
	raise := f.commit("up", shopFile, shopPlan("gradual@25"))
	f.commit("comment", shopFile, shopPlan("gradual@25", "# one line", "# 1 line"))
	f.commit("quiet", shopFile, shopPlan("gradual@25", "bake: 10m", "bake: 11m"))
	f.commit("live", shopFile, shopPlan("gradual@25", "8082", "8083"))
	f.commit("both", shopFile, shopPlan("gradual@50", "8082", "8084"))
	f.commit("suspend", shopFile, shopPlan("gradual@50", "8082", "8084", "spec:\n", "spec:\n  suspend: true\n"))
	f.commit("down", shopFile, shopPlan("setup", "8082", "8084"))
	f.push()
	r := f.open()
	all := []string{
		"none>setup raise: add the shop's plan",
		"setup>gradual@25 raise: up",
		"gradual@25>gradual@25 content: quiet",
		"gradual@25>gradual@25 content live: live",
		"gradual@25>gradual@50 raise content live: both",
		"gradual@50>setup lower: down",
	}
	got := wantChanges(t, r, "", r.Head(), all...)
	if got[1].Commit != raise || got[1].Parent != f.rev(string(raise)+"^") || got[1].At.IsZero() || got[0].Parent != "" {
		t.Errorf("got %+v", got[1])
	}
	wantChanges(t, r, first, r.Head(), all[1:]...)
	wantChanges(t, r, raise, r.Head(), all[2:]...)
	wantChanges(t, r, "", raise, all[:2]...)
	wantChanges(t, r, r.Head(), r.Head())
}

func TestChangesFollowARenamedFile(t *testing.T) {
	f := newFixture(t)
	f.git("mv", shopFile, "plans/a.yml")
	f.commit("rename")
	f.git("mv", "plans/a.yml", "plans/b.yml")
	f.commit("rename and up", "plans/b.yml", shopPlan("gradual@10"))
	f.push()
	r := f.open()
	wantChanges(t, r, "", r.Head(), "none>setup raise: add the shop's plan", "setup>gradual@10 raise: rename and up")
}

func TestChangesSkipRevisionsThatDoNotDecode(t *testing.T) {
	for name, broken := range map[string]string{
		"syntax": "[", "unknown field": shopPlan("gradual@25", "bake:", "bakes:"), "no plan": "hello\n", "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.promote("gradual@10")
			broke := f.commit("break", shopFile, broken)
			f.commit("docs", "README.md", "docs\n")
			f.commit("mend", shopFile, shopPlan("gradual@25"))
			f.push()
			r := f.open()
			wantChanges(t, r, "", r.Head(), "none>setup raise: add the shop's plan", "setup>gradual@10 raise: shop to gradual@10", "gradual@10>gradual@25 raise: mend")
			wantChanges(t, r, broke, r.Head(), "gradual@10>gradual@25 raise: mend")
		})
	}
}

func TestChangesOfAPlanThatWasRemovedAndAddedAgain(t *testing.T) {
	f := newFixture(t)
	f.promote("gradual@10")
	f.git("rm", "-q", shopFile)
	gone := f.commit("remove")
	f.commit("add again", shopFile, shopPlan("gradual@25"))
	f.push()
	r := f.open()
	all := []string{"none>setup raise: add the shop's plan", "setup>gradual@10 raise: shop to gradual@10", "gradual@10>none lower: remove", "none>gradual@25 raise: add again"}
	wantChanges(t, r, "", r.Head(), all...)
	wantChanges(t, r, gone, r.Head(), all[3])
}

func TestChangesWalkFirstParentsOnly(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "-b", "feature")
	f.commit("10", shopFile, shopPlan("gradual@10"))
	f.commit("25", shopFile, shopPlan("gradual@25"))
	f.git("checkout", "-q", "main")
	before := f.commit("docs", "README.md", "docs\n")
	f.git("merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
	f.push()
	r := f.open()
	wantChanges(t, r, "", r.Head(), "none>setup raise: add the shop's plan", "setup>gradual@25 raise: Merge feature")
	wantChanges(t, r, before, r.Head(), "setup>gradual@25 raise: Merge feature")
}

// A person merged the branch into their own work and pushed that: what was
// seen came in by the second parent.
func TestChangesAfterAMergeTheOtherWayRound(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "-b", "mine")
	f.commit("mine", "README.md", "mine\n")
	f.git("checkout", "-q", "main")
	seen := f.promote("gradual@10")
	f.git("checkout", "-q", "mine")
	f.git("merge", "-q", "--no-ff", "-m", "Merge main", "main")
	f.push()
	r := f.open()
	wantChanges(t, r, seen, r.Head(), "setup>gradual@10 raise: Merge main")
}

func TestChangesReadTrailersAndReverts(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	r := f.open()
	push(t, r, undo("gradual@10", "setup", raise))
	own := r.Head()
	f.git("fetch", "-q", "origin")
	f.git("reset", "-q", "--hard", "origin/main")
	f.git("revert", "--no-edit", string(own))
	f.commit("lift\n\nChangeover-Unhold: " + raise.Short())
	f.commit("lift for another\n\nChangeover-Plan: other\nChangeover-Unhold: " + string(raise))
	f.commit("go on\n\nwords\n\nchangeover-resume: shop\nSigned-off-by: Ada <ada@example.com>")
	f.commit("resume another\n\nChangeover-Resume: prod/shop")
	f.commit("not at the end\n\nChangeover-Resume: shop\n\nmore words")
	f.commit("Changeover-Resume: shop")
	f.push()
	poll(t, r)
	got := wantChanges(t, r, raise, r.Head(),
		"gradual@10>setup lower: Revert \"shop to gradual@10\"",
		"setup>gradual@10 raise: "+f.git("log", "-1", "--format=%s", "HEAD~6"),
		"gradual@10>gradual@10: lift",
		"gradual@10>gradual@10 resume: go on",
	)
	if got[0].RollbackOf != raise || got[0].Reverts != "" {
		t.Errorf("our revert: %+v", got[0])
	}
	if got[1].Reverts != own || got[1].RollbackOf != "" {
		t.Errorf("a person's revert: %+v", got[1])
	}
	if got[2].Unhold != raise {
		t.Errorf("unhold: %+v", got[2])
	}
}

func TestChangesRefuseUnknownRevisions(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	for _, rev := range []plan.Revision{plan.Revision(strings.Repeat("1", 40)), "main", "", r.Head()[:10]} {
		if _, err := r.Changes(t.Context(), shop, "", rev); err == nil {
			t.Errorf("%q: no error", rev)
		}
	}
	if _, err := r.Changes(t.Context(), shop, plan.Revision(strings.Repeat("1", 40)), r.Head()); err == nil {
		t.Error("an unknown since: no error")
	}
	if r.store.damaged.Load() {
		t.Error("an unknown revision counts as damage")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Changes(ctx, shop, "", r.Head()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// first is the first value of a trailer.
func (m message) first(name string) string {
	if v := m.all(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func TestParseMessage(t *testing.T) {
	sha := strings.Repeat("ab", 20)
	for i, c := range []struct{ text, trailer, value, reverts string }{
		{"subject\n\nChangeover-Plan: a/b\n", trailerPlan, "a/b", ""},
		{"subject\r\n\r\nbody\r\n\r\nchangeover-plan :  a/b  \r\n\r\n", trailerPlan, "a/b", ""},
		{"subject\n\nChangeover-Evidence: one\n  two\n\tthree\n", trailerEvidence, "one two three", ""},
		{"subject\n\nChangeover-Plan: a/b\n\nlast words", trailerPlan, "", ""},
		{"Changeover-Plan: a/b", trailerPlan, "", ""},
		{"Changeover-Plan: a/b\nChangeover-Plan: a/b", trailerPlan, "", ""},
		{"subject\n \t\nnoise\nChangeover-Plan: a/b", trailerPlan, "a/b", ""},
		{"Revert \"x\"\n\nThis reverts commit " + sha + ".", trailerPlan, "", sha},
		{"Revert \"x\"\n\nThis reverts commit " + sha + ", reversing\nchanges made to " + sha + ".", trailerPlan, "", sha},
		{"Revert \"x\"\n\nThis reverts commit abcdef1 (x, 2026-01-01).", trailerPlan, "", "abcdef1"},
		{"x\n\nNote: This reverts commit " + sha, trailerPlan, "", ""},
		{"", trailerPlan, "", ""},
	} {
		m := parseMessage(c.text)
		if m.first(c.trailer) != c.value || m.reverts != c.reverts {
			t.Errorf("%d: %q: got %q and %q", i, c.text, m.first(c.trailer), m.reverts)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("subject\n\nChangeover-Rollback-Of: " + strings.Repeat("ab", 20) + "\n folded\n")
	f.Add("This reverts commit abcdef1.\r\n\r\n:\r\n :")
	f.Fuzz(func(_ *testing.T, s string) {
		m := parseMessage(s)
		_, _, _ = m.concerns(shop), m.resumes(shop), m.object(trailerUnhold)
	})
}

func TestComposedMessageCannotBeForged(t *testing.T) {
	m := parseMessage(compose("Revert \"x\"", []string{"This reverts commit y.", "why\n\nChangeover-Resume: shop\x00\x1b[31m"},
		[][2]string{{trailerPlan, "default/shop"}, {trailerGate, "a\n\nChangeover-Resume: shop"}}))
	if m.resumes(shop) || m.first(trailerGate) != "a Changeover-Resume: shop" {
		t.Errorf("got %+v", m)
	}
	if got := compose("s", []string{"", "a\x00b"}, nil); got != "s\n\nab\n" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkChangesOver1000Commits(b *testing.B) {
	f := newFixture(b)
	f.fastHistory(1000)
	o := f.options()
	b.Run("first", func(b *testing.B) {
		o.Dir = ""
		for b.Loop() {
			b.StopTimer()
			r := openWith(b, o)
			b.StartTimer()
			benchChanges(b, r)
		}
	})
	r := openWith(b, f.options())
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			benchChanges(b, r)
		}
	})
}

func benchChanges(b *testing.B, r *Repository) {
	got, err := r.Changes(context.Background(), shop, "", r.Head())
	if err != nil || len(got) < 100 {
		b.Fatalf("%d changes, %v", len(got), err)
	}
}

// fastHistory pushes n commits, every tenth of which changes the plan.
func (f *fixture) fastHistory(n int) {
	f.t.Helper()
	var s strings.Builder
	for i := range n {
		path, text := fmt.Sprintf("docs/%d.md", i), fmt.Sprintln(i)
		if i%10 == 0 {
			path, text = shopFile, shopPlan([]string{"gradual@10", "gradual@25"}[i/10%2])
		}
		from := ""
		if i == 0 {
			from = "from refs/heads/main^0\n"
		}
		fmt.Fprintf(&s, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 2\nc\n%sM 100644 inline %s\ndata %d\n%s\n",
			1_770_000_000+i, from, path, len(text), text)
	}
	f.write("../stream", s.String())
	cmd := "git fast-import --quiet < ../stream && git reset -q --hard main && git push -q origin main"
	f.git("-c", "alias.x=!"+cmd, "x")
}
