package arch

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The caps on length, for files that are neither tests nor generated.
const (
	maxFileLines = 400
	maxFuncLines = 60
)

// clocks are the functions of package time that read or follow the clock.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}

// clock finds uses of the clock in pure packages.
func clock(files []goFile) (found []string) {
	for _, f := range files {
		if r, ok := rowOf(f.dir()); f.isTest() || !ok || !r.pure {
			continue
		}
		name := f.local("time")
		if name == "." {
			found = append(found, fmt.Sprintf("%s: imports time by a dot, which hides uses of the clock", f.name))
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && name != "" && x.Name == name && slices.Contains(clocks, s.Sel.Name) {
				found = append(found, fmt.Sprintf("%s: %s is pure and may not use time.%s", f.line(s.Pos()), f.dir(), s.Sel.Name))
			}
			return true
		})
	}
	return found
}

// comments finds folders without exactly one package comment, and comments
// that do not begin as godoc expects.
func comments(files []goFile) (found []string) {
	have := map[string][]string{}
	for _, f := range files {
		if _, seen := have[f.dir()]; !seen {
			have[f.dir()] = nil
		}
		if f.ast.Doc == nil {
			continue
		}
		have[f.dir()] = append(have[f.dir()], path.Base(f.name))
		want := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			want = "Command " + path.Base(f.dir()) + " "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), want) {
			found = append(found, fmt.Sprintf("%s: the package comment must begin with %q", f.name, want))
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(have)) {
		if n := len(have[dir]); n != 1 {
			found = append(found, fmt.Sprintf("%s: has %d package comments, want one: %v", dir, n, have[dir]))
		}
	}
	return found
}

// lengths finds files and functions that are too long.
func lengths(files []goFile) (found []string) {
	for _, f := range files {
		if f.isTest() || ast.IsGenerated(f.ast) {
			continue
		}
		if n := strings.Count(f.src, "\n"); n > maxFileLines {
			found = append(found, fmt.Sprintf("%s: has %d lines, the cap is %d", f.name, n, maxFileLines))
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1; n > maxFuncLines {
				found = append(found, fmt.Sprintf("%s: %s has %d lines, the cap is %d", f.line(fn.Pos()), fn.Name.Name, n, maxFuncLines))
			}
		}
	}
	return found
}

// vague are names that say nothing about what is in a package.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc"}

// names finds folders and packages with vague names.
func names(files []goFile) (found []string) {
	for _, f := range files {
		for _, part := range append(strings.Split(f.dir(), "/"), f.ast.Name.Name) {
			if slices.Contains(vague, part) {
				found = append(found, fmt.Sprintf("%s: %q says nothing: name the package after its one job", f.name, part))
				break
			}
		}
	}
	return found
}

// unfinished are words that mark work left undone, written such that this file
// is not found itself.
var unfinished = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "not imple" + "mented", "unimple" + "mented", "for n" + "ow"}, "|") + `)\b`)

// skips are calls that skip a test: a missing component is a failure.
var skips = regexp.MustCompile(`\b[a-z]+\.` + `Skip(f|Now)?\(`)

// words finds unfinished work and skipped tests.
func words(files []goFile) (found []string) {
	for _, f := range files {
		for i, line := range strings.Split(f.src, "\n") {
			if w := unfinished.FindString(line); w != "" {
				found = append(found, fmt.Sprintf("%s:%d: %q: finish it, or name it in an issue", f.name, i+1, w))
			}
			if f.isTest() && skips.MatchString(line) {
				found = append(found, fmt.Sprintf("%s:%d: skips a test: a missing component is a failure", f.name, i+1))
			}
		}
	}
	return found
}

// scriptSkip is the command of testscript that skips.
var scriptSkip = regexp.MustCompile(`(?m)^(\[[^]]*\]\s*)*skip\b`)

// scripts finds testscript files that skip.
func scripts(root fs.FS) (found []string, err error) {
	err = fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !within(path.Ext(name), ".txt", ".txtar") {
			return err
		}
		b, err := fs.ReadFile(root, name)
		script, _, _ := strings.Cut("\n"+string(b), "\n-- ") // files follow
		if scriptSkip.MatchString(script) {
			found = append(found, name+": skips: a missing component is a failure")
		}
		return err
	})
	return found, err
}

// topLevel is all that may stand at the root, besides names with a leading dot.
// bin and accept.log are what make leaves there; Git ignores them.
var topLevel = []string{
	"cmd", "plan", "reconciler", "gates", "render", "examples", "schemas", "test", "go.mod", "go.sum", "Makefile",
	"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "bin", "accept.log",
}

// layout finds what does not belong at the root.
func layout(root fs.FS) (found []string, err error) {
	entries, err := fs.ReadDir(root, ".")
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			found = append(found, e.Name()+": is not part of the fixed top level")
		}
	}
	return found, err
}
