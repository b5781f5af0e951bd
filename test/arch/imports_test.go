package arch

import (
	"fmt"
	"strings"
)

// row says what the packages of some folders may import.
type row struct {
	folders []string
	// ours are the folders of this module that they may import.
	ours []string
	// pure packages import nothing of the standard library that has an
	// effect, and of others only these modules and folders.
	pure   bool
	others []string
}

// table is the import table of the design. Its first row for a folder counts;
// a folder without a row is a finding.
var table = []row{
	{folders: []string{"plan"}, pure: true, others: []string{
		"go.yaml.in/yaml/v4", "go.yaml.in/yaml/v4/*", "sigs.k8s.io/yaml", "github.com/prometheus/common/model", "github.com/spaolacci/murmur3",
	}},
	{folders: []string{"gates"}, ours: []string{"plan", "gates/celtext"}, pure: true, others: []string{
		"github.com/google/cel-go/*", "github.com/prometheus/prometheus/promql/parser", "github.com/prometheus/prometheus/promql/parser/posrange",
		"github.com/prometheus/prometheus/model/labels", "github.com/prometheus/common/model",
	}},
	{folders: []string{"gates/lint"}, ours: []string{"plan"}, pure: true, others: []string{
		"github.com/google/cel-go/*", "github.com/prometheus/prometheus/promql/parser", "github.com/prometheus/prometheus/model/labels",
		"github.com/prometheus/common/model",
	}},
	{folders: []string{"gates/celtext"}, pure: true, others: []string{"github.com/google/cel-go/*"}},
	{folders: []string{"gates/celjson"}, pure: true, others: []string{"github.com/google/cel-go/*"}},
	{folders: []string{"gates/prom"}, ours: []string{"gates", "plan"}},
	{folders: []string{"gates/prom/engine"}, ours: []string{"gates/prom"}},
	{folders: []string{"render"}, ours: []string{"plan"}, pure: true},
	{folders: []string{"render/kustomize"}, ours: []string{"plan", "render"}, pure: true, others: []string{
		"go.yaml.in/yaml/v4", "sigs.k8s.io/json", "sigs.k8s.io/yaml", "sigs.k8s.io/kustomize/api/*", "sigs.k8s.io/kustomize/kyaml/*",
	}},
	{folders: []string{"render/translate"}, ours: []string{"plan", "gates/celtext", "gates/celjson"}, pure: true, others: []string{"github.com/google/cel-go/*"}},
	{folders: []string{"render/entity"}, ours: []string{"plan", "gates/celtext", "render/translate"}, pure: true, others: []string{"github.com/google/cel-go/*"}},
	{folders: []string{"render/transform"}, ours: []string{"plan", "gates/celtext", "gates/celjson"}, pure: true,
		others: []string{"github.com/google/cel-go/*", "k8s.io/apimachinery/pkg/labels"}},
	{folders: []string{"render/*"}, ours: []string{"plan", "render"}, pure: true, others: []string{"sigs.k8s.io/json", "sigs.k8s.io/yaml"}},
	{folders: []string{"reconciler/decide"}, ours: []string{"plan", "gates"}, pure: true},
	{folders: []string{"reconciler/timeline"}, ours: []string{"plan", "gates", "reconciler/decide"}, pure: true},
	{folders: []string{"reconciler/review"}, ours: []string{"plan", "gates", "gates/lint", "render", "render/*", "reconciler/decide"}, pure: true,
		others: []string{"sigs.k8s.io/yaml", "github.com/rogpeppe/go-internal/diff"}},
	{folders: []string{"reconciler/split"}, ours: []string{"plan"}, pure: true},
	{folders: []string{"reconciler"}, ours: []string{"plan", "gates", "reconciler/decide", "reconciler/split", "render"}},
	{folders: []string{"reconciler/ownership"}, ours: []string{"plan"}},
	{folders: []string{"reconciler/call"}, ours: []string{"plan", "render/entity", "render/translate"}},
	{folders: []string{"reconciler/inventory"}, ours: []string{"plan", "render/entity", "render/translate", "reconciler/call"}},
	{folders: []string{"reconciler/handover"}, ours: []string{"plan", "reconciler", "reconciler/durable", "reconciler/call", "reconciler/inventory", "reconciler/ownership", "render/entity"}},
	{folders: []string{"reconciler/entities"}, ours: []string{"plan", "gates", "render/entity", "render/translate", "reconciler/call", "reconciler/inventory", "reconciler/ownership"}},
	{folders: []string{"reconciler/ofrep"}, ours: []string{"plan", "render/flagd"}},
	{folders: []string{"reconciler/durable"}},
	{folders: []string{"reconciler/flags"}, ours: []string{"plan", "render/flagd", "reconciler", "reconciler/durable"}},
	{folders: []string{"reconciler/webhook"}},
	{folders: []string{"reconciler/claims"}, ours: []string{"plan", "reconciler/decide", "reconciler"}},
	{folders: []string{"reconciler/forge"}, ours: []string{"plan"}},
	{folders: []string{"reconciler/pulls"}, ours: []string{"plan", "reconciler", "reconciler/forge"}},
	// Evidence in records, entries and statuses is gates.Results: what keeps
	// or shows it may name that type.
	{folders: []string{"reconciler/web"}, ours: []string{"plan", "reconciler/decide", "reconciler", "reconciler/live", "gates"}},
	{folders: []string{"reconciler/live"}, ours: []string{"plan", "reconciler/decide", "reconciler", "gates"}, pure: true},
	{folders: []string{"reconciler/notify", "reconciler/record"},
		ours: []string{"plan", "render", "render/*", "reconciler/decide", "reconciler", "gates"}},
	{folders: []string{"reconciler/notify/notice"}, ours: []string{"plan", "reconciler/decide", "reconciler", "gates"}, pure: true},
	{folders: []string{"reconciler/notify/send"}, ours: []string{"plan", "reconciler", "reconciler/notify/notice"}},
	{folders: []string{"reconciler/sidelabel"}, ours: []string{"plan", "render/entity", "reconciler", "reconciler/ownership", "reconciler/kube/client"}},
	{folders: []string{"reconciler/kube/client"}, ours: []string{"plan", "render"}},
	{folders: []string{"reconciler/transform"}, ours: []string{"plan", "render", "render/transform", "gates", "reconciler", "reconciler/durable", "reconciler/kube/client"}},
	// The record in the cluster shows evidence too, and gates read objects.
	{folders: []string{"reconciler/kube", "reconciler/kube/*"},
		ours: []string{"plan", "render", "render/*", "reconciler/decide", "reconciler", "gates", "reconciler/kube/client", "reconciler/kube/status", "reconciler/kube/api"}},
	{folders: []string{"reconciler/backup"}, ours: []string{"plan", "render", "reconciler", "reconciler/kube/client"}},
	// Gates read objects, of which the rendered ones may know.
	{folders: []string{"reconciler/dir"}, ours: []string{"plan", "render", "reconciler/decide", "reconciler", "gates"}},
	{folders: []string{"reconciler/git/signature"}},
	{folders: []string{"reconciler/git"}, ours: []string{"plan", "render", "render/*", "reconciler/decide", "reconciler", "reconciler/git/signature"}},
	// A bridge tells what gates read.
	{folders: []string{"reconciler/nginx", "reconciler/bridge"},
		ours: []string{"plan", "gates", "render", "render/*", "reconciler/decide", "reconciler/split", "reconciler", "reconciler/durable"}},
	{folders: []string{"reconciler/bridged"}, ours: []string{"plan", "gates", "reconciler/split", "reconciler", "reconciler/bridge", "reconciler/nginx"}},
	{folders: []string{"cmd/changeover", "cmd/changeover/*"},
		ours: []string{"plan", "gates", "gates/*", "render", "render/*", "reconciler", "reconciler/*", "schemas", "cmd/changeover/*"}},
	{folders: []string{"cmd/changeover-bridge", "cmd/changeover-bridge/*"},
		ours: []string{"plan", "render/bridge", "render/translate", "reconciler/ownership", "reconciler/durable", "cmd/changeover-bridge/*"}},
	{folders: []string{"cmd/changeover-demo", "cmd/changeover-demo/*"}, ours: []string{"plan", "cmd/changeover-demo/*"}},
	{folders: []string{"schemas", "examples", "examples/*"}},
	{folders: []string{"test/*"}, ours: []string{
		"plan", "gates", "gates/*", "render", "render/*", "reconciler", "reconciler/*", "schemas", "examples", "examples/*", "test/*",
	}},
}

func rowOf(dir string) (row, bool) {
	for _, r := range table {
		if within(dir, r.folders...) {
			return r, true
		}
	}
	return row{}, false
}

// imports checks the table. Tests may import everything.
func imports(files []goFile) (found []string) {
	for _, f := range files {
		if f.isTest() {
			continue
		}
		r, ok := rowOf(f.dir())
		if !ok {
			found = append(found, fmt.Sprintf("%s: folder %q has no row in the import table of test/arch", f.name, f.dir()))
			continue
		}
		for _, imported := range f.imports {
			ours, own := strings.CutPrefix(imported, module+"/")
			switch {
			case own && !within(ours, r.ours...):
				found = append(found, fmt.Sprintf("%s: %s may not import %s", f.name, f.dir(), ours))
			case !own && r.pure && !pureImport(imported, r.others):
				found = append(found, fmt.Sprintf("%s: %s is pure and may not import %s", f.name, f.dir(), imported))
			}
		}
	}
	return found
}

// effects are the packages of the standard library that reach outside of the
// program, are random, or look at the machine.
var effects = []string{
	"net", "net/*", "os", "os/*", "io/ioutil", "path/filepath", "log", "log/*", "syscall", "syscall/*", "math/rand", "math/rand/*",
	"crypto/rand", "crypto/tls", "database/sql", "database/sql/*", "plugin", "expvar", "flag", "testing", "testing/*", "runtime/*", "unsafe", "C",
}

// pureImport reports whether a pure package may import a package that is not
// ours. net/url and net/netip only read text.
func pureImport(imported string, others []string) bool {
	if strings.Contains(strings.Split(imported, "/")[0], ".") {
		return within(imported, others...)
	}
	return imported == "net/url" || imported == "net/netip" || !within(imported, effects...)
}
