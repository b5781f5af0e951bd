package git

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage"
	"pgregory.net/rapid"
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
	cluster  bool // the first phase has an overlay
	pad      int  // blank lines, to have lines that repeat
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
	if s.cluster {
		add("      cluster: {path: %s%s}", strings.Repeat("../", strings.Count(s.path, "/")), overlayDir)
	}
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

// differ reverts with Git in a repository with a worktree, and beside it with
// our own code.
type differ struct {
	dir string
	env []string // for Git, beside the process's own
}

type failer interface {
	Fatalf(format string, args ...any)
}

func (d *differ) try(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = d.dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b")
	cmd.Env = append(cmd.Env, d.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *differ) git(t failer, stdin []byte, args ...string) {
	if out, err := d.try(stdin, args...); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// load imports a history and returns its commits by mark.
func (d *differ) load(t failer, h *worlds) map[int]plumbing.Hash {
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

func show(f *found) string {
	if f == nil {
		return "no plan"
	}
	return fmt.Sprintf("%s %v %q", f.path, f.mode, f.doc.Source)
}

// revertWithoutRenames is Git's command. Its newer strategy, ort, follows exact
// renames also where it is told not to, before 2.50.
func revertWithoutRenames() []string {
	return []string{"revert", "--strategy=recursive", "-X", "no-renames", "--no-commit"}
}
