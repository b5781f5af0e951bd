package monitoring_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared are the metrics that the source of some folders declares: those of parts
// that this test cannot start, too. Where a function makes several, they are those
// of its calls.
func declared(t *testing.T, folders ...string) catalog {
	t.Helper()
	c := catalog{}
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				source{values: map[string]ast.Expr{}, found: c}.look(src)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// source is one file.
type source struct {
	values map[string]ast.Expr // what constants and variables are given, by name
	found  catalog
}

func (s source) look(src *ast.File) {
	makers := map[string]*ast.FuncLit{}
	ast.Inspect(src, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) {
					s.values[name.Name] = n.Values[i]
				}
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				name, ok := left.(*ast.Ident)
				if !ok || len(n.Rhs) != len(n.Lhs) {
					continue
				}
				s.values[name.Name] = n.Rhs[i]
				if f, ok := n.Rhs[i].(*ast.FuncLit); ok {
					makers[name.Name] = f
				}
			}
		}
		return true
	})
	ast.Inspect(src, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncLit); ok {
			for _, m := range makers {
				if m == f {
					return false // its metrics are those of its calls
				}
			}
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		s.metric(call, nil)
		if name, ok := call.Fun.(*ast.Ident); ok && makers[name.Name] != nil {
			f := makers[name.Name]
			given := bind(f, call)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					s.metric(c, given)
				}
				return true
			})
		}
		return true
	})
}

// bind gives a function's parameters what a call has for them.
func bind(f *ast.FuncLit, call *ast.CallExpr) map[string][]ast.Expr {
	given, rest := map[string][]ast.Expr{}, call.Args
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			n := min(1, len(rest))
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				n = len(rest)
			}
			given[name.Name], rest = rest[:n], rest[n:]
		}
	}
	return given
}

var maker = regexp.MustCompile(`^New(Gauge|Counter|Histogram|Desc)(?:Vec|Func)?$`)

// metric keeps what a call makes, where it is one of the library's that make one.
func (s source) metric(call *ast.CallExpr, given map[string][]ast.Expr) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || !maker.MatchString(f.Sel.Name) {
		return
	}
	text := func(e ast.Expr) string { return strings.Join(s.texts(e, given), "") }
	m := metric{kind: strings.ToLower(maker.FindStringSubmatch(f.Sel.Name)[1])}
	if m.kind == "desc" {
		m.name, m.help, m.labels, m.kind = text(call.Args[0]), text(call.Args[1]), s.texts(call.Args[2], given), "gauge"
		if strings.HasSuffix(m.name, "_total") {
			m.kind = "counter"
		}
	} else if o, ok := call.Args[0].(*ast.CompositeLit); ok {
		for _, e := range o.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			switch key, _ := kv.Key.(*ast.Ident); key.Name {
			case "Name":
				m.name = text(kv.Value)
			case "Help":
				m.help = text(kv.Value)
			case "ConstLabels":
				m.labels = s.texts(kv.Value, given)
			}
		}
		if strings.HasSuffix(f.Sel.Name, "Vec") {
			m.labels = append(m.labels, s.texts(call.Args[1], given)...)
		}
	}
	if strings.HasPrefix(m.name, "changeover_") {
		s.found[m.name] = m
	}
}

// texts are those of an expression: one for a string, several for a list, and the
// keys of a map.
func (s source) texts(e ast.Expr, given map[string][]ast.Expr) (out []string) {
	all := func(list []ast.Expr) (out []string) {
		for _, e := range list {
			out = append(out, s.texts(e, given)...)
		}
		return out
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return []string{text}
		}
	case *ast.Ident:
		if list, ok := given[e.Name]; ok {
			return all(list)
		}
		if v := s.values[e.Name]; v != nil && v != ast.Expr(e) {
			return s.texts(v, nil)
		}
	case *ast.BinaryExpr:
		return []string{strings.Join(all([]ast.Expr{e.X, e.Y}), "")}
	case *ast.SliceExpr:
		return s.texts(e.X, given)
	case *ast.KeyValueExpr:
		return s.texts(e.Key, given)
	case *ast.CompositeLit:
		return all(e.Elts)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.Ident); ok && f.Name == "append" {
			return all(e.Args)
		}
	}
	return nil
}

// TestTheSourceTellsWhatIsRegistered: what is read out of the source is what the
// daemon's loop and its notifications register when they run.
func TestTheSourceTellsWhatIsRegistered(t *testing.T) {
	c := declared(t, "reconciler")
	for name, want := range metrics(t) {
		got := c[name]
		if got.kind != want.kind || got.help != want.help || !slices.Equal(got.labels, want.labels) {
			t.Errorf("the source tells of %s:\n%+v\nand what is registered is\n%+v", name, got, want)
		}
	}
}
