package git

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/reconciler"
)

// shopState is a plan's file as people edit it.
type shopState struct {
	path     string
	position string
	signals  []string // name and value
	bakes    [3]string
	comments map[int]string // before which line
	crlf     bool
	noEOL    bool
	pad      int // blank lines, to have lines that repeat
}

func (s shopState) text() string {
	var l []string
	add := func(format string, args ...any) { l = append(l, fmt.Sprintf(format, args...)) }
	phase, percent, ok := strings.Cut(s.position, "@")
	add("apiVersion: changeover.dev/v1alpha1")
	add("kind: MigrationPlan")
	add("metadata: {name: shop}")
	add("spec:")
	add("  position:")
	add("    phase: %s", phase)
	if ok {
		add("    percent: %s", percent)
	}
	add("  backends:")
	add("    legacy: {url: \"http://127.0.0.1:8081\"}")
	add("    modern: {url: \"http://127.0.0.1:8082\"}")
	add("  signals:")
	add("    base: {query: up}")
	for _, sig := range s.signals {
		name, value, _ := strings.Cut(sig, " ")
		add("    %s:", name)
		add("      query: sum(%s)", value)
		add("      maxAge: 1m")
		for range s.pad {
			add("")
		}
	}
	add("  phases:")
	add("    - name: setup")
	add("      bake: %s", s.bakes[0])
	add("    - name: gradual")
	add("      percents: [10, 25, 50, 100]")
	add("      bake: %s", s.bakes[1])
	add("    - name: done")
	add("      bake: %s", s.bakes[2])
	var b strings.Builder
	eol := "\n"
	if s.crlf {
		eol = "\r\n"
	}
	for i, line := range l {
		if c, ok := s.comments[i]; ok {
			b.WriteString("# " + c + eol)
		}
		b.WriteString(line + eol)
	}
	if s.noEOL {
		return strings.TrimSuffix(b.String(), eol)
	}
	return b.String()
}

func (s shopState) clone() shopState {
	s.signals = append([]string(nil), s.signals...)
	c := map[int]string{}
	for k, v := range s.comments {
		c[k] = v
	}
	s.comments = c
	return s
}

// snapshot is a whole tree.
type snapshot struct {
	shop   shopState
	others map[string]string
	raw    string // the plan's file, in place of shop's text
}

func (s snapshot) clone() snapshot {
	o := map[string]string{}
	for k, v := range s.others {
		o[k] = v
	}
	return snapshot{s.shop.clone(), o, s.raw}
}

func editShop(t *rapid.T, s *shopState) {
	switch rapid.IntRange(0, 13).Draw(t, "edit") {
	case 0, 1, 2, 3:
		s.position = rapid.SampledFrom([]string{"setup", "gradual@10", "gradual@25", "gradual@50", "done"}).Draw(t, "position")
	case 4, 5:
		i := rapid.IntRange(0, len(s.signals)).Draw(t, "where")
		name := fmt.Sprintf("s%d ", rapid.IntRange(0, 9).Draw(t, "signal"))
		if slices.ContainsFunc(s.signals, func(sig string) bool { return strings.HasPrefix(sig, name) }) {
			return
		}
		sig := fmt.Sprintf("%sv%d", name, rapid.IntRange(0, 2).Draw(t, "value"))
		s.signals = append(s.signals[:i:i], append([]string{sig}, s.signals[i:]...)...)
	case 6:
		if n := len(s.signals); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(t, "which")
			s.signals = append(s.signals[:i:i], s.signals[i+1:]...)
		}
	case 7:
		if n := len(s.signals); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(t, "which")
			name, _, _ := strings.Cut(s.signals[i], " ")
			s.signals[i] = fmt.Sprintf("%s v%d", name, rapid.IntRange(3, 9).Draw(t, "value"))
		}
	case 8, 9:
		s.bakes[rapid.IntRange(0, 2).Draw(t, "phase")] = fmt.Sprintf("%dm", rapid.IntRange(1, 9).Draw(t, "bake"))
	case 10:
		s.comments[rapid.IntRange(0, 25).Draw(t, "line")] = rapid.SampledFrom([]string{"why", "because", "so"}).Draw(t, "comment")
	case 11:
		s.pad = rapid.IntRange(0, 2).Draw(t, "pad")
	case 12:
		s.noEOL = !s.noEOL
	case 13:
		if rapid.IntRange(0, 3).Draw(t, "rare") == 0 {
			s.crlf = !s.crlf
		}
	}
}

func editOthers(t *rapid.T, s *snapshot) {
	name := rapid.SampledFrom([]string{"README.md", "plans/notes.yaml", "plans/sub/x.yaml", "app/a"}).Draw(t, "file")
	if rapid.Bool().Draw(t, "move") {
		delete(s.others, name)
		name += "2"
	}
	s.others[name] = rapid.SampledFrom([]string{"a: 1\n", "a: 2\n", "b: 1\n"}).Draw(t, "content")
}

// history is a stream for git fast-import, and what it makes.
type history struct {
	stream bytes.Buffer
	states []snapshot // by mark - 1
	merges map[int]bool
}

func (h *history) commit(s snapshot, from, merge int) int {
	h.states = append(h.states, s)
	mark := len(h.states)
	b := &h.stream
	fmt.Fprintf(b, "commit refs/heads/gen\nmark :%d\ncommitter Ada <ada@example.com> %d +0000\n", mark, 1_770_000_000+60*mark)
	message := fmt.Sprintf("commit %d\n", mark)
	fmt.Fprintf(b, "data %d\n%s\n", len(message), message)
	if from > 0 {
		fmt.Fprintf(b, "from :%d\n", from)
	}
	if merge > 0 {
		fmt.Fprintf(b, "merge :%d\n", merge)
		h.merges[mark] = true
	}
	b.WriteString("deleteall\n")
	file := func(path, text string) {
		fmt.Fprintf(b, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
	}
	text := s.raw
	if text == "" {
		text = s.shop.text()
	}
	file(s.shop.path, text)
	for path, text := range s.others {
		file(path, text)
	}
	return mark
}

// generate makes a history with a trunk and maybe a merged branch, and returns
// the marks of the trunk.
func generate(t *rapid.T) (h *history, trunk []int) {
	h = &history{merges: map[int]bool{}}
	s := snapshot{shopState{path: shopFile, position: "gradual@10", bakes: [3]string{"1m", "1m", "1m"}, comments: map[int]string{}}, map[string]string{"README.md": "a: 1\n"}, ""}
	for range rapid.IntRange(0, 4).Draw(t, "signals") {
		s.shop.signals = append(s.shop.signals, fmt.Sprintf("a%d v0", len(s.shop.signals)))
	}
	tip := h.commit(s, 0, 0)
	trunk = []int{tip}
	for range rapid.IntRange(2, 6).Draw(t, "commits") {
		s = s.clone()
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			side := s.clone()
			editShop(t, &side.shop)
			editOthers(t, &side)
			branch := h.commit(side, tip, 0)
			// The merge takes the branch's plan, and the trunk's files.
			s.shop = side.shop
			if rapid.Bool().Draw(t, "evil") {
				editShop(t, &s.shop)
			}
			tip = h.commit(s, tip, branch)
		} else {
			if rapid.IntRange(0, 9).Draw(t, "rename") == 0 {
				s.shop.path = rapid.SampledFrom([]string{shopFile, "plans/b.yaml", "plans/sub/c.yml"}).Draw(t, "path")
			}
			for range rapid.IntRange(1, 3).Draw(t, "edits") {
				editShop(t, &s.shop)
			}
			if rapid.Bool().Draw(t, "more") {
				editOthers(t, &s)
			}
			tip = h.commit(s, tip, 0)
		}
		trunk = append(trunk, tip)
	}
	return h, trunk
}

// TestUndoEqualsGitRevert compares each revert of a trunk's commits with Git's
// own, on generated histories.
func TestUndoEqualsGitRevert(t *testing.T) {
	d := differ{dir: t.TempDir()}
	d.git(t, nil, "init", "-q", "-b", "gen", d.dir)
	rapid.Check(t, func(rt *rapid.T) {
		h, trunk := generate(rt)
		marks := d.load(rt, h)
		head := marks[trunk[len(trunk)-1]]
		d.git(rt, nil, "reset", "-q", "--hard", head.String())
		for _, bad := range trunk[1:] {
			d.compare(rt, head, marks[bad], h.merges[bad])
			d.git(rt, nil, "reset", "-q", "--hard", head.String())
		}
	})
	t.Logf("%d clean of %d, %d of these merged lines, %d fell back to the position", d.clean, d.all, d.merged, d.fell)
	if d.fell*50 > d.clean {
		t.Errorf("%d of %d clean reverts fell back to the position; at most 2 %% may", d.fell, d.clean)
	}
	if d.merged < d.all/20 || d.clean == d.all {
		t.Errorf("the histories are too simple: %d of %d reverts merged lines, %d were clean", d.merged, d.all, d.clean)
	}
}

// differ reverts with Git in a repository with a worktree, and beside it with
// our own code.
type differ struct {
	dir                      string
	all, clean, merged, fell int
}

type failer interface {
	Fatalf(format string, args ...any)
}

func (d *differ) try(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = d.dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *differ) git(t failer, stdin []byte, args ...string) {
	if out, err := d.try(stdin, args...); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// load imports a history and returns its commits by mark.
func (d *differ) load(t failer, h *history) map[int]plumbing.Hash {
	file := filepath.Join(d.dir, ".git", "marks")
	d.git(t, h.stream.Bytes(), "fast-import", "--quiet", "--force", "--export-marks="+file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v", err)
	}
	marks := map[int]plumbing.Hash{}
	for line := range strings.Lines(string(data)) {
		var mark int
		var sha string
		if _, err := fmt.Sscanf(line, ":%d %s", &mark, &sha); err != nil {
			t.Fatalf("marks: %v", err)
		}
		marks[mark] = plumbing.NewHash(sha)
	}
	return marks
}

// repositoryOn reads a store without any remote.
func repositoryOn(st storage.Storer) *Repository {
	return &Repository{
		o: Options{Author: Author{"C", "c@d"}}, store: newStore(st), index: newIndex("plans", nil),
		ancestry: newLRU[[2]plumbing.Hash, bool](10, nil),
	}
}

func (d *differ) compare(t *rapid.T, head, bad plumbing.Hash, merge bool) {
	d.all++
	st := diskStorage(filepath.Join(d.dir, ".git"))
	r := repositoryOn(st)
	h, err := r.store.commit(head)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.store.commit(bad)
	if err != nil {
		t.Fatal(err)
	}
	x := &undoing{r: r, u: reconciler.Undo{Key: shop}, b: newBuilder(r.store), head: h, tip: h.hash, tree: h.tree}
	oursErr := x.revert(t.Context(), c)

	args := []string{"revert", "-X", "no-renames", "--no-edit"}
	if merge {
		args = append(args, "-m", "1")
	}
	out, err := d.try(nil, append(args, bad.String())...)
	if err != nil && !strings.Contains(out, "nothing to commit") {
		if !strings.Contains(out, "CONFLICT") {
			t.Fatalf("git revert: %v\n%s", err, out)
		}
		file, err := r.index.find(t.Context(), r.store, h.tree, shop)
		if err != nil {
			t.Fatal(err)
		}
		inPlan := strings.Contains(out, "CONFLICT (content): Merge conflict in "+file.path+"\n")
		if inPlan && oursErr == nil && !fellBack(x) {
			t.Fatalf("git says\n%s\nours merges cleanly to %s", out, short(x.tip))
		}
		return
	}
	d.clean++
	if oursErr != nil {
		t.Fatalf("git reverts cleanly; ours: %v", oursErr)
	}
	ref, err := st.Reference("refs/heads/gen")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := r.store.commit(ref.Hash())
	if err != nil {
		t.Fatal(err)
	}
	d.judge(t, x, c, theirs)
}

// judge compares the plan's file of a revert that Git made cleanly with ours.
func (d *differ) judge(t *rapid.T, x *undoing, c, theirs *commit) {
	if fellBack(x) {
		d.fell++
		return
	}
	want, err := x.r.index.find(t.Context(), x.r.store, theirs.tree, shop)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.r.index.find(t.Context(), x.b, x.tree, shop)
	if err != nil {
		t.Fatal(err)
	}
	if want == nil || got == nil || want.file != got.file {
		t.Fatalf("git gives\n%s\nours gives\n%s", show(want), show(got))
	}
	before, err := x.r.store.parentOf(c)
	if err != nil {
		t.Fatal(err)
	}
	w, _, err := x.threeWay(t.Context(), c, before)
	if err != nil {
		t.Fatal(err)
	}
	if got.blob != w.theirs.blob && got.blob != w.base.blob {
		d.merged++
	}
}

func fellBack(x *undoing) bool {
	return strings.Contains(strings.Join(x.notes, "\n"), "was changed since")
}

func show(f *found) string {
	if f == nil {
		return "no plan"
	}
	return fmt.Sprintf("%s %v %q", f.path, f.mode, f.doc.Source)
}
