package walk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/cluster/components"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// bin has the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "changeover-walk-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "../../cmd/...")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	return kubetest.Main(m, cluster.Options{})
}

// root is the repository's.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blocks are the indented ones of a text, each as its lines without the indent.
// What is fenced is left out.
func blocks(text string) (all [][]string) {
	fenced, inside, before := false, false, ""
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		code, indented := strings.CutPrefix(line, "    ")
		indented = indented && !fenced && (inside || before == "")
		switch {
		case indented && !inside:
			all = append(all, []string{code})
		case indented:
			all[len(all)-1] = append(all[len(all)-1], code)
		}
		inside, before = indented, line
	}
	return all
}

// section is what stands below a heading, until the next of the same level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	level, _, _ := strings.Cut(heading, " ")
	body, _, end := strings.Cut(rest, "\n"+level+" ")
	if !ok || !end {
		t.Fatalf("the README has no section %q", heading)
	}
	return body
}

// commands joins the lines of a block that belong together: continued ones, and
// what is read until END.
func commands(block []string) (all []string) {
	open, until := false, ""
	for _, line := range block {
		if open {
			all[len(all)-1] += "\n" + line
		} else {
			all = append(all, line)
		}
		switch {
		case until != "":
			open = line != until
			if !open {
				until = ""
			}
		case strings.Contains(line, "<<'END'"):
			open, until = true, "END"
		default:
			open = strings.HasSuffix(line, `\`)
		}
	}
	return all
}

// elsewhere are the blocks that no test of this package runs, by their first line,
// and why.
var elsewhere = map[string]string{
	"make demo      # the whole story on this machine, under 90 seconds": "TestTheDemoSeesEveryStep plays it, and `make test` is what runs this",
	"make build": "TestMain here builds the programs, kubetest starts what `make cluster` does",
	"make build     # bin/changeover, bin/changeover-bridge": "it builds and completes; TestCommandLine has the completions",
}

// shown are blocks that are no commands: parts of files, of which another test
// knows that they are right.
var shown = []string{"plans.platform.complete ", "counter requests_total by side, code", "sources:", "spec:", "receivers:"}

// TestEveryBlockOfTheReadmeIsRun or says why it is not.
func TestEveryBlockOfTheReadmeIsRun(t *testing.T) {
	text := readme(t)
	run := map[string]bool{}
	for _, b := range blocks(section(t, text, "## Quick start"))[1:] {
		run[b[0]] = true
	}
	for _, b := range offline {
		run[b] = true
	}
	used := map[string]bool{}
	all := blocks(text)
	for _, b := range all {
		first := b[0]
		ways := 0
		if run[first] {
			ways++
		}
		if elsewhere[first] != "" || excused[first] != "" {
			ways++
			used[first] = true
		}
		if slices.ContainsFunc(shown, func(s string) bool { return strings.HasPrefix(first, s) }) {
			ways++
		}
		if ways != 1 {
			t.Errorf("the block that begins with %q is accounted for %d times: have a test run it, or say why none does", first, ways)
		}
	}
	if len(all) < 25 {
		t.Errorf("found %d blocks: does this test still read the README right?", len(all))
	}
	for _, reasons := range []map[string]string{elsewhere, excused} {
		for first := range reasons {
			if !used[first] {
				t.Errorf("the README has no block that begins with %q any more", first)
			}
		}
	}
}

// environ is that of a person with the programs, kubectl and an identity for Git.
func environ(t *testing.T, home string, more ...string) []string {
	t.Helper()
	cache, err := components.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := cache.Find(components.Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), append([]string{
		"PATH=" + bin + ":" + filepath.Dir(kubectl) + ":" + os.Getenv("PATH"), "HOME=" + home, "CHANGEOVER=" + root(t),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
	}, more...)...)
}
