package arch

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are those over Go files.
var rules = map[string]func([]goFile) []string{
	"imports": imports, "clock": clock, "comments": comments, "lengths": lengths, "names": names, "words": words,
}

// overTree are those over the tree itself.
var overTree = map[string]func(fs.FS) ([]string, error){"layout": layout, "scripts": scripts}

func TestRepositoryKeepsItsShape(t *testing.T) {
	root := os.DirFS("../..")
	files := load(t, root)
	for _, dir := range []string{"plan", "gates", "reconciler", "render", "test/arch"} {
		seen := false
		for _, f := range files {
			seen = seen || f.dir() == dir
		}
		if !seen {
			t.Errorf("found no Go file in %s: are these rules looking at the repository?", dir)
		}
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, f := range rule(files) {
				t.Error(f)
			}
		})
	}
	for name, rule := range overTree {
		t.Run(name, func(t *testing.T) {
			found, err := rule(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}

// file is a tree of one file.
func file(name, src string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(src)}} }

// importing is a tree of one file with one import.
func importing(name, imported string) fstest.MapFS {
	return file(name, "package p\n\nimport _ \""+imported+"\"\n")
}

func TestRulesFindWhatTheyForbid(t *testing.T) {
	ours := func(name, imported string) fstest.MapFS { return importing(name, module+"/"+imported) }
	body := func(n int) string { return strings.Repeat("\t_ = 0\n", n) }
	for _, c := range []struct {
		rule string
		tree fstest.MapFS
		want string // part of the only finding; empty: none
	}{
		{"imports", ours("plan/a.go", "gates"), "plan may not import gates"},
		{"imports", ours("gates/a.go", "plan"), ""},
		{"imports", ours("gates/a.go", "gates/prom"), "gates may not import gates/prom"},
		{"imports", ours("gates/prom/a.go", "plan"), ""},
		{"imports", ours("gates/prom/a.go", "reconciler"), "gates/prom may not import reconciler"},
		{"imports", ours("render/nginx/a.go", "render/bridge"), "render/nginx may not import render/bridge"},
		{"imports", ours("render/nginx/a.go", "render"), ""},
		{"imports", ours("reconciler/a.go", "reconciler/decide"), ""},
		{"imports", ours("reconciler/a.go", "reconciler/git"), "reconciler may not import reconciler/git"},
		{"imports", ours("reconciler/a.go", "gates/prom"), "reconciler may not import gates/prom"},
		{"imports", ours("reconciler/decide/a.go", "reconciler"), "reconciler/decide may not import reconciler"},
		{"imports", ours("reconciler/decide/a.go", "render"), "reconciler/decide may not import render"},
		{"imports", ours("reconciler/git/a.go", "reconciler"), ""},
		{"imports", ours("reconciler/git/a.go", "gates"), "reconciler/git may not import gates"},
		{"imports", ours("reconciler/git/a.go", "reconciler/nginx"), "reconciler/git may not import reconciler/nginx"},
		{"imports", ours("reconciler/web/a.go", "gates"), ""},
		{"imports", ours("reconciler/web/a.go", "gates/prom"), "reconciler/web may not import gates/prom"},
		{"imports", ours("cmd/changeover/a.go", "reconciler/git"), ""},
		{"imports", ours("cmd/changeover/a.go", "test/fakes"), "cmd/changeover may not import test/fakes"},
		{"imports", ours("cmd/changeover-bridge/internal/proxy/a.go", "render/bridge"), ""},
		{"imports", ours("cmd/changeover-bridge/internal/proxy/a.go", "reconciler"), "may not import reconciler"},
		{"imports", ours("cmd/changeover-demo/a.go", "reconciler/git"), "cmd/changeover-demo may not import reconciler/git"},
		{"imports", ours("test/script/a.go", "reconciler/git"), ""},
		{"imports", ours("plan/a_test.go", "reconciler"), ""},
		{"imports", importing("elsewhere/a.go", "fmt"), "no row"},
		{"imports", importing("plan/a.go", "os"), "plan is pure and may not import os"},
		{"imports", importing("plan/a.go", "net/http"), "plan is pure and may not import net/http"},
		{"imports", importing("plan/a.go", "net/url"), ""},
		{"imports", importing("plan/a.go", "path/filepath"), "may not import path/filepath"},
		{"imports", importing("plan/a.go", "go.yaml.in/yaml/v4"), ""},
		{"imports", importing("gates/a.go", "log/slog"), "gates is pure and may not import log/slog"},
		{"imports", importing("gates/a.go", "github.com/google/cel-go/common/types"), ""},
		{"imports", importing("gates/a.go", "github.com/prometheus/client_golang/api"), "may not import github.com/prometheus"},
		{"imports", importing("render/nginx/a.go", "math/rand/v2"), "may not import math/rand/v2"},
		{"imports", importing("reconciler/decide/a.go", "k8s.io/client-go/rest"), "may not import k8s.io"},
		{"imports", importing("reconciler/git/a.go", "os"), ""},

		{"clock", file("plan/a.go", "package p\nimport \"time\"\nvar x = time.Now()\n"), "plan/a.go:3: plan is pure and may not use time.Now"},
		{"clock", file("gates/a.go", "package p\nimport clk \"time\"\nvar x = clk.Since\n"), "may not use time.Since"},
		{"clock", file("render/nginx/a.go", "package p\nimport . \"time\"\nvar x = Now()\n"), "dot"},
		{"clock", file("reconciler/decide/a.go", "package p\nimport \"time\"\nfunc f() { <-time.After(1) }\n"), "may not use time.After"},
		{"clock", file("plan/a.go", "package p\nimport \"time\"\nvar x time.Duration = time.Second\n"), ""},
		{"clock", file("plan/a_test.go", "package p\nimport \"time\"\nvar x = time.Now()\n"), ""},
		{"clock", file("gates/prom/a.go", "package p\nimport \"time\"\nvar x = time.Now()\n"), ""},

		{"comments", file("plan/a.go", "package p\n"), "has 0 package comments"},
		{"comments", file("plan/a.go", "// Package p is it.\npackage p\n"), ""},
		{"comments", file("plan/a.go", "// Copyright\n\npackage p\n"), "has 0 package comments"},
		{"comments", file("plan/a.go", "// This is it.\npackage p\n"), `must begin with "Package p "`},
		{"comments", file("cmd/x/a.go", "// Command x is it.\npackage main\n"), ""},
		{"comments", file("cmd/x/a.go", "// Package main is it.\npackage main\n"), `must begin with "Command x "`},
		{"comments", fstest.MapFS{
			"plan/a.go": {Data: []byte("// Package p is it.\npackage p\n")},
			"plan/b.go": {Data: []byte("// Package p is it too.\npackage p\n")},
		}, "has 2 package comments, want one: [a.go b.go]"},

		{"lengths", file("plan/a.go", "package p\nfunc f() {\n"+body(58)+"}\n"), ""},
		{"lengths", file("plan/a.go", "package p\nfunc f() {\n"+body(59)+"}\n"), "plan/a.go:2: f has 61 lines, the cap is 60"},
		{"lengths", file("plan/a.go", "package p\n"+strings.Repeat("\n", 399)), ""},
		{"lengths", file("plan/a.go", "package p\n"+strings.Repeat("\n", 400)), "has 401 lines"},
		{"lengths", file("plan/a_test.go", "package p\n"+strings.Repeat("\n", 400)), ""},
		{"lengths", file("plan/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage p\n"+strings.Repeat("\n", 400)), ""},

		{"names", file("reconciler/util/a.go", "package util\n"), `"util" says nothing`},
		{"names", file("cmd/x/internal/helpers/deep/a.go", "package deep\n"), `"helpers" says nothing`},
		{"names", file("plan/a.go", "package common\n"), `"common" says nothing`},
		{"names", file("plan/a.go", "package plan\n"), ""},

		{"words", file("plan/a.go", "package p\n\n// to"+"do: more\n"), "plan/a.go:3"},
		{"words", file("plan/a.go", "package p\nvar x = \"not imple"+"mented\"\n"), "finish it"},
		{"words", file("plan/a.go", "package p\n\n// good for nowhere\n"), ""},
		{"words", file("plan/a_test.go", "package p\n\nfunc f(t T) { t.Skip"+"f(\"no nginx\") }\n"), "skips a test"},

		{"layout", file("pkg/a.go", "package p\n"), "pkg: is not part"},
		{"layout", file("notes.md", ""), "notes.md: is not part"},
		{"layout", file("plan/a.go", ""), ""},
		{"layout", file(".ci/run", ""), ""},

		{"scripts", file("test/script/a.txtar", "exec git\n[!exec:nginx] skip 'none'\n"), "a.txtar: skips"},
		{"scripts", file("test/script/a.txtar", "exec git\nstdout skip\n-- f --\nskip\n"), ""},
	} {
		t.Run(fmt.Sprintf("%s %s", c.rule, c.want), func(t *testing.T) {
			found := findings(t, c.rule, c.tree)
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("got findings on what is allowed: %q", found)
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
				t.Errorf("got %q, want one finding with %q", found, c.want)
			}
		})
	}
}

func findings(t *testing.T, rule string, tree fstest.MapFS) []string {
	t.Helper()
	if r, ok := rules[rule]; ok {
		return r(load(t, tree))
	}
	found, err := overTree[rule](tree)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTestDataAndOtherModulesAreNotLoaded(t *testing.T) {
	tree := fstest.MapFS{
		"plan/a.go": {Data: []byte("package p\n")}, "plan/testdata/b.go": {Data: []byte("no Go\n")}, ".git/c.go": {Data: []byte("no Go\n")},
		"test/cluster/go.mod": {}, "test/cluster/d.go": {Data: []byte("no Go\n")}, "bin/e.go": {Data: []byte("no Go\n")},
	}
	if got := load(t, tree); len(got) != 1 || got[0].name != "plan/a.go" {
		t.Errorf("got %d files, want plan/a.go alone", len(got))
	}
}
