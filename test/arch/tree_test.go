package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/changeover-dev/changeover"

// goFile is one Go file of the repository.
type goFile struct {
	name    string // from the root, with slashes
	src     string
	fset    *token.FileSet
	ast     *ast.File
	imports []string
}

func (f goFile) dir() string  { return path.Dir(f.name) }
func (f goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }
func (f goFile) line(p token.Pos) string {
	return f.name + ":" + strconv.Itoa(f.fset.Position(p).Line)
}

// local is the name by which the file knows an import; empty where it does not
// import it.
func (f goFile) local(imported string) string {
	for _, s := range f.ast.Imports {
		if p, _ := strconv.Unquote(s.Path.Value); p == imported {
			if s.Name != nil {
				return s.Name.Name
			}
			return path.Base(p)
		}
	}
	return ""
}

// load parses every Go file below root: test data, hidden folders, built
// binaries and modules of their own are left out.
func load(t *testing.T, root fs.FS) []goFile {
	t.Helper()
	var files []goFile
	fset := token.NewFileSet()
	err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name == "." {
				return nil
			}
			_, nested := fs.Stat(root, name+"/go.mod")
			if strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || name == "bin" || nested == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f := goFile{name: name, src: string(src), fset: fset}
		f.ast, err = parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, s := range f.ast.Imports {
			p, err := strconv.Unquote(s.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatalf("read the tree: %v", err)
	}
	return files
}

// within reports whether a folder is one of the patterns: a folder, or FOLDER/*
// for everything below it.
func within(dir string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, ok := strings.CutSuffix(p, "/*")
		return p == dir || ok && strings.HasPrefix(dir, below+"/")
	})
}
