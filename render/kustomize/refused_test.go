package kustomize_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// onePhase is a plan with one phase, whose kustomization is in plans/k8s.
const onePhase = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: shop}
spec:
  position: {phase: only}
  phases:
  - name: only
    cluster: {path: k8s}
`

// archive is a file system of a text archive. A file that begins with "-> " is
// a symlink.
func archive(text string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		entry := &fstest.MapFile{Data: f.Data, Mode: 0o644}
		if to, ok := strings.CutPrefix(string(f.Data), "-> "); ok {
			entry = &fstest.MapFile{Data: []byte(strings.TrimSpace(to)), Mode: fs.ModeSymlink | 0o777}
		}
		files[f.Name] = entry
	}
	return files
}

// with adds what most cases need: a manifest in plans/k8s/app.yaml.
func with(text string) fstest.MapFS {
	files := archive(text)
	if files["plans/k8s/app.yaml"] == nil {
		files["plans/k8s/app.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app}\n"), Mode: 0o644}
	}
	return files
}

// kust is a case with one kustomization, in plans/k8s.
func kust(text string) string { return "-- plans/k8s/kustomization.yaml --\n" + text + "\n" }

// refusal is an input that must be refused.
type refusal struct {
	name string
	tree string   // text archive
	want []string // problems as FILE:LINE:COLUMN: CODE: and the beginning of the message
	// calls is what kustomize alone does with it: "http" or "process".
	calls string
}

var refusals = slices.Concat(remoteRefusals, pathRefusals, fieldRefusals, pluginRefusals, formRefusals)

const k = "plans/k8s/kustomization.yaml"

// remoteRefusals are all forms of references to other machines. SERVER is one
// that listens.
var remoteRefusals = []refusal{
	{"https resource", kust("resources: [\n  https://SERVER/x.yaml]"), []string{k + `:2:3: remote: "https://SERVER/x.yaml" is not in this repository`}, "http"},
	{"http resource", kust("resources:\n- app.yaml\n- http://SERVER/x.yaml"), []string{k + `:3:3: remote: "http://SERVER/x.yaml"`}, "http"},
	{"upper-case scheme", kust("resources:\n- HTTP://SERVER/x.yaml"), []string{k + `:2:3: remote: "HTTP://SERVER/x.yaml"`}, "http"},
	{"opaque URL", kust("resources:\n- http:x.yaml"), []string{k + `:2:3: remote: "http:x.yaml"`}, "http"},
	{"http base", kust("resources:\n- http://SERVER/org/repo//base?ref=main"), []string{k + `:2:3: remote: "http://SERVER/org/repo//base?..."`}, "process"},
	{"git over http", kust("resources:\n- git::http://SERVER/org/repo//base?ref=main"), []string{k + `:2:3: remote: "git::http://SERVER/org/repo//base?..."`}, "process"},
	{"ssh base", kust("resources:\n- ssh://git@SERVER/org/repo"), []string{k + `:2:3: remote: "ssh://git@SERVER/org/repo"`}, "process"},
	{"ssh in short", kust("resources:\n- git@SERVER:org/repo.git"), []string{k + `:2:3: remote: "git@SERVER:org/repo.git"`}, "process"},
	{"ssh with a password", kust("resources:\n- ssh://joe:hunter2@SERVER/org/repo"), []string{k + `:2:3: remote: "ssh://...@SERVER/org/repo"`}, "process"},
	{"github in short", kust("resources:\n- github.com/org/repo//base?ref=v1"), []string{k + `:2:3: remote: "github.com/org/repo//base?..."`}, "process"},
	{"GitHub over ssh in short", kust("resources:\n- GitHub.com:org/repo"), []string{k + `:2:3: remote: "GitHub.com:org/repo"`}, "process"},
	{"a folder with the name of a host", kust("resources:\n- github.com/org/repo") + "-- plans/k8s/github.com/org/repo/kustomization.yaml --\nnamePrefix: x-\n",
		[]string{k + `:2:3: remote: "github.com/org/repo"`}, "process"},
	{"file URL", kust("resources:\n- file:///srv/repo//base"), []string{k + `:2:3: remote: "file:///srv/repo//base"`}, "process"},
	{"file URL of a relative path", kust("resources:\n- file://srv/repo"), []string{k + `:2:3: remote: "file://srv/repo"`}, "process"},
	{"host and path", kust("resources:\n- example.com/org/repo?ref=main\n- example.com/org/repo"),
		[]string{k + `:2:3: remote: "example.com/org/repo?..."`, k + `:3:3: remote: there is no "example.com/org/repo"`}, ""},
	{"git suffix", kust("resources:\n- org/repo.git/base"), []string{k + `:2:3: remote: there is no "org/repo.git/base"`}, ""},
	{"deprecated base", kust("bases:\n- http://SERVER/org/repo"), []string{k + `:2:3: remote: "http://SERVER/org/repo"`}, "process"},
	{"component", kust("resources: [app.yaml]\ncomponents: [\"https://github.com/org/repo//c\"]"), []string{k + `:2:14: remote: "https://github.com/org/repo//c"`}, "process"},
	{"base of a base", kust("resources: [../base]") + "-- plans/base/kustomization.yaml --\nresources:\n  - http://SERVER/x.yaml\n",
		[]string{`plans/base/kustomization.yaml:2:5: remote: "http://SERVER/x.yaml"`}, "http"},
	{"files of a ConfigMap", kust("configMapGenerator:\n- name: a\n  files: [x=http://SERVER/x]"), []string{k + `:3:11: remote: "x=http://SERVER/x"`}, "http"},
	{"files of a ConfigMap without a key", kust("configMapGenerator:\n- name: a\n  files: [http://SERVER/x]"), []string{k + `:3:11: remote: "http://SERVER/x"`}, "http"},
	{"envs of a ConfigMap", kust("configMapGenerator:\n- name: a\n  envs: [http://SERVER/x]"), []string{k + `:3:10: remote: "http://SERVER/x"`}, "http"},
	{"env of a ConfigMap", kust("configMapGenerator:\n- name: a\n  env: http://SERVER/x"), []string{k + `:3:8: remote: "http://SERVER/x"`}, "http"},
	{"files of a Secret", kust("secretGenerator:\n- name: a\n  files: [\"x=http://SERVER/x\"]"), []string{k + `:3:11: remote: this is no path to a file of this repository`}, "http"},
	{"patch", kust("resources: [app.yaml]\npatches:\n- path: http://SERVER/x"), []string{k + `:3:9: remote: "http://SERVER/x"`}, "http"},
	{"JSON patch", kust("resources: [app.yaml]\npatchesJson6902:\n- target: {kind: ServiceAccount, version: v1, name: app}\n  path: http://SERVER/x"),
		[]string{k + `:4:9: remote: "http://SERVER/x"`}, "http"},
	{"strategic patch", kust("resources: [app.yaml]\npatchesStrategicMerge: [\"http://SERVER/x\"]"), []string{k + `:2:25: remote: "http://SERVER/x"`}, "http"},
	{"strategic patch that could be YAML", kust("resources: [app.yaml]\npatchesStrategicMerge: [\"http://SERVER/{}\"]"), []string{k + `:2:25: remote: "http://SERVER/{}"`}, "http"},
	{"replacement", kust("resources: [app.yaml]\nreplacements:\n- path: http://SERVER/x"), []string{k + `:3:9: remote: "http://SERVER/x"`}, "http"},
	{"configuration", kust("resources: [app.yaml]\nconfigurations: [\"http://SERVER/x\"]"), []string{k + `:2:18: remote: "http://SERVER/x"`}, "http"},
	{"generator", kust("resources: [app.yaml]\ngenerators: [\"http://SERVER/x\"]"), []string{k + `:2:14: remote: "http://SERVER/x"`}, "http"},
	{"transformer", kust("resources: [app.yaml]\ntransformers: [\"http://SERVER/x\"]"), []string{k + `:2:16: remote: "http://SERVER/x"`}, "http"},
	{"validator", kust("resources: [app.yaml]\nvalidators: [\"git@SERVER:org/repo\"]"), []string{k + `:2:14: remote: "git@SERVER:org/repo"`}, "process"},
	{"patch of a plugin", kust("resources: [app.yaml]\ntransformers: [t.yaml]") +
		"-- plans/k8s/t.yaml --\napiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: http://SERVER/x\n",
		[]string{`plans/k8s/t.yaml:4:7: remote: "http://SERVER/x"`}, "http"},
	{"inline plugin in upper case", kust("resources: [app.yaml]\ntransformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: t}\n  Path: http://SERVER/x"),
		[]string{k + `:3:3: unknown-field: unknown field "Path"`}, "http"},
	{"files of a plugin", kust("generators:\n- |\n  {apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: t}, files: [\"http://SERVER/x\"]}"),
		[]string{k + `:2:3: remote: "http://SERVER/x"`}, "http"},
	{"targets of a plugin", kust("resources: [app.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: ValueAddTransformer, metadata: {name: t}, targetFilePath: \"http://SERVER/x\"}"),
		[]string{k + `:3:3: remote: "http://SERVER/x"`}, "http"},
	{"replacement of a plugin", kust("resources: [app.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: ReplacementTransformer, metadata: {name: t}, replacements: [{path: \"http://SERVER/x\"}]}"),
		[]string{k + `:3:3: remote: "http://SERVER/x"`}, "http"},
	{"paths of a plugin", kust("resources: [app.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchStrategicMergeTransformer, metadata: {name: t}, paths: [\"http://SERVER/x\"]}"),
		[]string{k + `:3:3: remote: "http://SERVER/x"`}, "http"},
	{"openapi", kust("resources: [app.yaml]\nopenapi:\n  path: http://SERVER/x"), []string{k + `:2:1: forbidden-field: a kustomization of a plan may not have "openapi"`}, "http"},
	{"crds", kust("resources: [app.yaml]\ncrds:\n- http://SERVER/x"), []string{k + `:2:1: forbidden-field: a kustomization of a plan may not have "crds"`}, "http"},
	{"openapi in other letters", kust("resources: [app.yaml]\nOpenAPI:\n  path: http://SERVER/x"), []string{k + `:2:1: unknown-field: unknown field "OpenAPI"`}, "http"},
	{"resources in other letters", kust("Resources:\n- http://SERVER/x"), []string{k + `:1:1: unknown-field: unknown field "Resources"`}, "http"},
	{"a second list of resources", kust("resources: [app.yaml]\nresources: [\"http://SERVER/x\"]"), []string{k + `:2:1: duplicate-key: key "resources" is already at line 1`}, ""},
	{"alias", kust("namePrefix: &x http://SERVER/x\nresources: [*x]"),
		[]string{k + `:1:13: alias: an anchor or alias`, k + `:2:13: alias: an anchor or alias`}, "http"},
	{"merge key", kust("metadata: &m {name: a}\n<<: {resources: [\"http://SERVER/x\"]}"),
		[]string{k + `:1:11: alias: an anchor or alias`, k + `:2:1: alias: an anchor, alias or merge key`}, "http"},
}

var pathRefusals = []refusal{
	{"out of the repository", kust("resources:\n- ../../../other"), []string{k + `:2:3: outside-repository: "../../../other" leads out of the repository`}, ""},
	{"far out of the repository", kust("resources:\n- x/../../../../../etc"), []string{k + `:2:3: outside-repository: "x/../../../../../etc" leads out`}, ""},
	{"absolute path", kust("resources:\n- /etc/passwd"), []string{k + `:2:3: absolute-path: "/etc/passwd" is an absolute path`}, ""},
	{"absolute path within", kust("resources:\n- /plans/k8s/app.yaml"), []string{k + `:2:3: absolute-path: "/plans/k8s/app.yaml"`}, ""},
	{"missing file", kust("resources:\n- gone.yaml"), []string{k + `:2:3: missing: there is no file or folder "plans/k8s/gone.yaml"`}, ""},
	{"missing below a file", kust("resources:\n- app.yaml/x"), []string{k + `:2:3: missing: there is no file or folder "plans/k8s/app.yaml/x"`}, ""},
	{"empty path", kust("resources:\n- ''"), []string{k + `:2:3: empty-path: the path is empty`}, ""},
	{"file beside the kustomization's folder", kust("resources:\n- ../x.yaml") + "-- plans/x.yaml --\n",
		[]string{k + `:2:3: outside-folder: the file "plans/x.yaml" is not in the kustomization's own folder "plans/k8s"`}, ""},
	{"data beside the kustomization's folder", kust("configMapGenerator:\n- name: a\n  files: [../x.yaml]") + "-- plans/x.yaml --\n",
		[]string{k + `:3:11: outside-folder: the file "plans/x.yaml"`}, ""},
	{"patch that is a folder", kust("resources: [app.yaml]\npatches:\n- path: p") + "-- plans/k8s/p/x.yaml --\n", []string{k + `:3:9: not-a-file: "plans/k8s/p" is a folder`}, ""},
	{"component that is a file", kust("resources: [app.yaml]\ncomponents: [app.yaml]"), []string{k + `:2:14: not-a-folder: "plans/k8s/app.yaml" is a file`}, ""},
	{"folder without a kustomization", kust("resources: [app.yaml, p]") + "-- plans/k8s/p/x.yaml --\n", []string{k + `:1:23: missing: the folder "plans/k8s/p" has no kustomization.yaml`}, ""},
	{"kustomization as a resource", kust("resources: [../base/kustomization.yaml]") + "-- plans/base/kustomization.yaml --\nnamePrefix: x\n",
		[]string{k + `:1:13: outside-folder: the file "plans/base/kustomization.yaml"`}, ""},
	{"own kustomization as data", kust("configMapGenerator:\n- name: a\n  files: [kustomization.yaml]"), []string{k + `:3:11: kustomization-file: "plans/k8s/kustomization.yaml" is a kustomization`}, ""},
	{"name that kustomize cannot take", kust("resources: [\"my app.yaml\"]") + "-- plans/k8s/my app.yaml --\n", []string{k + `:1:13: file-name: "plans/k8s/my app.yaml" has a name`}, ""},
	{"two equals signs", kust("configMapGenerator:\n- name: a\n  files: [a=b=app.yaml]"), []string{k + `:3:11: path: "a=b=app.yaml" is neither PATH nor KEY=PATH`}, ""},
	{"link out of the repository", kust("resources: [link.yaml]") + "-- plans/k8s/link.yaml --\n-> ../../../x.yaml\n",
		[]string{k + `:1:13: symlink: "link.yaml": the symlink "plans/k8s/link.yaml" leads out of the repository`}, ""},
	{"link to an absolute path", kust("resources: [link]") + "-- plans/k8s/link --\n-> /etc\n",
		[]string{k + `:1:13: symlink: "link": the symlink "plans/k8s/link" leads out of the repository, to an absolute path`}, ""},
	{"link to a link out", kust("resources: [a]") + "-- plans/k8s/a --\n-> b\n-- plans/k8s/b --\n-> ../../../../c\n",
		[]string{k + `:1:13: symlink: "a": the symlink "plans/k8s/b" leads out`}, ""},
	{"link to itself", kust("resources: [a]") + "-- plans/k8s/a --\n-> a\n", []string{k + `:1:13: symlink: "a": the symlink "plans/k8s/a" leads to itself`}, ""},
	{"links in a circle", kust("resources: [a]") + "-- plans/k8s/a --\n-> b\n-- plans/k8s/b --\n-> a\n", []string{k + `:1:13: symlink: "a": the symlink "plans/k8s/a" leads to itself`}, ""},
	{"link to nothing", kust("resources: [a]") + "-- plans/k8s/a --\n-> gone\n", []string{k + `:1:13: symlink: "a": the symlink "plans/k8s/a" leads to "plans/k8s/gone", which is not there`}, ""},
	{"link out of the kustomization's folder", kust("resources: [a.yaml]") + "-- plans/k8s/a.yaml --\n-> ../x.yaml\n-- plans/x.yaml --\n",
		[]string{k + `:1:13: outside-folder: the file "plans/x.yaml"`}, ""},
	{"kustomization that is a link out", "-- plans/k8s/kustomization.yaml --\n-> ../../../kustomization.yaml\n", []string{k + `: symlink: "kustomization.yaml": the symlink`}, ""},
	{"kustomization that is a link to another folder", "-- plans/k8s/kustomization.yaml --\n-> ../kustomization.yaml\n-- plans/kustomization.yaml --\nnamePrefix: x\n",
		[]string{k + `: outside-folder: the kustomization is a symlink to "plans/kustomization.yaml"`}, ""},
	{"folder of the phase that is a link out", "-- plans/k8s --\n-> ../../k8s\n", []string{`plans/orders.yaml:8:21: symlink: "k8s": the symlink "plans/k8s" leads out`}, ""},
	{"cycle", kust("resources: [../a]") + "-- plans/a/kustomization.yaml --\nresources: [../b]\n-- plans/b/kustomization.yaml --\nresources:\n- ../a\n",
		[]string{`plans/b/kustomization.yaml:2:3: cycle: the kustomizations lead in a circle: plans/a -> plans/b -> plans/a`}, ""},
	{"itself", kust("resources: [.]"), []string{k + `:1:13: cycle: the kustomizations lead in a circle: plans/k8s -> plans/k8s`}, ""},
	{"folder above", kust("resources: [..]") + "-- plans/kustomization.yaml --\nnamePrefix: x\n", []string{k + `:1:13: cycle: the folder "plans" holds "plans/k8s"`}, ""},
	{"cycle through a link", kust("resources: [link]") + "-- plans/k8s/link --\n-> ../k8s\n", []string{k + `:1:13: cycle: the kustomizations lead in a circle`}, ""},
	{"component as a base", kust("resources: [app.yaml, c]") + "-- plans/k8s/c/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: x\n",
		[]string{k + `:1:23: kind: the kustomization in "plans/k8s/c" is a Component`}, ""},
	{"base as a component", kust("resources: [app.yaml]\ncomponents: [c]") + "-- plans/k8s/c/kustomization.yaml --\nnamePrefix: x\n",
		[]string{k + `:2:14: kind: the kustomization in "plans/k8s/c" is no Component`}, ""},
	{"no folder", "-- plans/x --\n", []string{`plans/orders.yaml:8:21: missing: the folder "plans/k8s" has no kustomization.yaml`}, ""},
	{"two kustomizations", kust("namePrefix: a") + "-- plans/k8s/Kustomization --\nnamePrefix: b\n", []string{`plans/k8s/Kustomization: several-kustomizations: the folder has a second kustomization, "plans/k8s/kustomization.yaml"`}, ""},
	{"large file", kust("configMapGenerator:\n- name: a\n  files: [large]") + "-- plans/k8s/large --\n" + strings.Repeat("x", 1<<20) + "\n",
		[]string{k + `:3:11: too-large: "plans/k8s/large" has more than 1048576 bytes`}, ""},
}

var fieldRefusals = []refusal{
	{"helmCharts", kust("resources: [app.yaml]\nhelmCharts:\n- name: a\n  repo: http://SERVER/"), []string{k + `:2:1: forbidden-field: a kustomization of a plan may not have "helmCharts"`}, "process"},
	{"helmGlobals", kust("resources: [app.yaml]\nhelmGlobals: {chartHome: x}"), []string{k + `:2:1: forbidden-field: a kustomization of a plan may not have "helmGlobals"`}, ""},
	{"helmChartInflationGenerator", kust("resources: [app.yaml]\nhelmChartInflationGenerator:\n- chartName: a\n  chartRepoUrl: http://SERVER/"),
		[]string{k + `:2:1: forbidden-field: a kustomization of a plan may not have "helmChartInflationGenerator"`}, "process"},
	{"openapi without anything", kust("resources: [app.yaml]\nopenapi:"), []string{k + `:2:1: forbidden-field`}, ""},
	{"unknown field", kust("resources: [app.yaml]\nresource: [x]"), []string{k + `:2:1: unknown-field: unknown field "resource"`}, ""},
	{"unknown field below", kust("resources: [app.yaml]\npatches:\n- {patchh: x}"), []string{k + `:3:4: unknown-field: unknown field "patchh"`}, ""},
	{"number for text", kust("resources: [app.yaml]\nimages:\n- {name: a, newTag: 1.10}"), []string{k + `:3:21: wrong-type: expected text`}, ""},
	{"text for a number", kust("resources: [app.yaml]\nreplicas:\n- {name: a, count: \"3\"}"), []string{k + `:3:20: wrong-type: expected a whole number`}, ""},
	{"word for a bool", kust("resources: [app.yaml]\ngeneratorOptions: {immutable: yes}"), []string{k + `:2:31: wrong-type: expected true or false`}, ""},
	{"text for a list", kust("resources: app.yaml"), []string{k + `:1:12: wrong-type: expected a list`}, ""},
	{"list for an object", kust("- resources"), []string{k + `:1:1: wrong-type: expected an object`}, ""},
	{"object for text", kust("resources: [{a: b}]"), []string{k + `:1:13: wrong-type: expected a single value`}, ""},
	{"literal without a key", kust("secretGenerator:\n- name: a\n  literals: [hunter2, =hunter2, a=b=c]"),
		[]string{k + `:3:14: literal: a literal is KEY=VALUE`, k + `:3:23: literal: a literal is KEY=VALUE`}, ""},
	{"tag", kust("resources: !!set {app.yaml}"), []string{k + `:1:12: tag: a tag`}, ""},
	{"key that is no text", kust("resources: [app.yaml]\ncommonAnnotations: {1: a}"), []string{k + `:2:21: wrong-type: a key must be text`}, ""},
	{"wrong kind", kust("kind: Kustomisation\nresources: [app.yaml]"), []string{k + `:1:7: kind: kind "Kustomisation"`}, ""},
	{"wrong version", kust("apiVersion: v1\nresources: [app.yaml]"), []string{k + `:1:13: kind: apiVersion "v1"`}, ""},
	{"several at once", kust("openapi: {}\nresources: [http://localhost/, gone.yaml]\nx: 1"),
		[]string{k + `:1:1: forbidden-field`, k + `:2:13: remote`, k + `:2:32: missing`, k + `:3:1: unknown-field`}, ""},
}

const function = "metadata:\n  name: t\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n"

var pluginRefusals = []refusal{
	{"exec function as a generator", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: example.com/v1\nkind: Gen\n" + function,
		[]string{`plans/k8s/g.yaml:1:13: plugin: the plugin "Gen" of apiVersion "example.com/v1" is not built into kustomize`}, ""},
	{"exec function as a transformer", kust("resources: [app.yaml]\ntransformers: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: example.com/v1\nkind: Gen\n" + function,
		[]string{`plans/k8s/g.yaml:1:13: plugin: the plugin "Gen"`}, ""},
	{"function annotation on a built-in plugin", kust("resources: [app.yaml]\ntransformers: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: builtin\nkind: PrefixTransformer\nprefix: x\n" + function,
		[]string{`plans/k8s/g.yaml:7:5: plugin: the annotation "config.kubernetes.io/function" is not allowed on a plugin`}, ""},
	{"container", kust("resources: [app.yaml]\nvalidators:\n- |\n  apiVersion: example.com/v1\n  kind: V\n  metadata: {name: v, annotations: {config.kubernetes.io/function: \"container: {image: x}\"}}"),
		[]string{k + `:3:3: plugin: the plugin "V" of apiVersion "example.com/v1"`}, ""},
	{"exec plugin", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: example.com/v1\nkind: Runner\nmetadata: {name: t}\n",
		[]string{`plans/k8s/g.yaml:1:13: plugin: the plugin "Runner"`}, "process"},
	{"inline exec plugin", kust("resources: [app.yaml]\ngenerators:\n- '{apiVersion: example.com/v1, kind: Runner, metadata: {name: t}}'"), []string{k + `:3:3: plugin: the plugin "Runner"`}, "process"},
	{"helm plugin", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: t}\nname: a\nrepo: http://SERVER/\n",
		[]string{`plans/k8s/g.yaml:2:7: plugin: the plugin HelmChartInflationGenerator is not allowed`}, "process"},
	{"transformer as a generator", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t}\n",
		[]string{`plans/k8s/g.yaml:2:7: plugin: there is no such plugin built into kustomize: "PrefixTransformer"`}, ""},
	{"second document of a plugin", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\n{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: t}}\n---\napiVersion: example.com/v1\nkind: Runner\nmetadata: {name: t}\n",
		[]string{`plans/k8s/g.yaml:3:13: plugin: the plugin "Runner"`}, "process"},
	{"plugins in a List", kust("resources: [app.yaml]\ngenerators: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: v1\nkind: List\nitems: [{apiVersion: example.com/v1, kind: Runner, metadata: {name: t}}]\n",
		[]string{`plans/k8s/g.yaml:1:13: plugin: the plugin "List"`}, "process"},
	{"folder of plugins", kust("resources: [app.yaml]\ngenerators: [g]") + "-- plans/k8s/g/kustomization.yaml --\nresources: [g.yaml]\n-- plans/k8s/g/g.yaml --\napiVersion: example.com/v1\nkind: Runner\nmetadata: {name: t}\n",
		[]string{k + `:2:14: plugin: "plans/k8s/g" is a folder`}, "process"},
	{"alias in a plugin", kust("resources: [app.yaml]\ntransformers: [g.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: &n t}\nprefix: *n\n",
		[]string{`plans/k8s/g.yaml:3:18: alias: an anchor or alias`}, ""},
	{"plugin without a kind", kust("resources: [app.yaml]\ntransformers: [g.yaml, h.yaml, i.yaml]") + "-- plans/k8s/g.yaml --\napiVersion: builtin\n-- plans/k8s/h.yaml --\nkind: Runner\n-- plans/k8s/i.yaml --\n[]\n",
		[]string{`plans/k8s/g.yaml:1:1: plugin: there is no such plugin`, `plans/k8s/h.yaml:1:1: plugin: the plugin "Runner" of apiVersion ""`, `plans/k8s/i.yaml:1:1: plugin: the config of a plugin must be an object`}, ""},
	{"plugin without a name", kust("resources: [app.yaml]\ntransformers: ['{apiVersion: builtin, kind: PrefixTransformer, prefix: x}']"), []string{k + `:2:16: plugin: the config of a plugin has no metadata.name`}, ""},
}

var formRefusals = []refusal{
	{"no YAML", kust("resources: [app.yaml"), []string{k + `:2:1: syntax: read YAML: did not find expected ',' or ']'`}, ""},
	{"tab", kust("resources:\n\t- app.yaml"), []string{k + `:2:1: syntax: read YAML:`}, ""},
	{"values that lie deep", kust("resources: [app.yaml]\nmetadata: " + strings.Repeat("[", 300)), []string{k + `:2:267: syntax: values lie more than 256 deep`}, ""},
	{"empty file", kust(""), []string{k + `: empty: the kustomization is empty`}, ""},
	{"empty kustomization", kust("kind: Kustomization\n"), []string{k + `:1:1: empty: the kustomization is empty`}, ""},
	{"two documents", kust("resources: [app.yaml]\n---\nresources: [\"http://SERVER/\"]"), []string{k + `:3:1: several-documents: a second YAML document`}, ""},
	{"no UTF-8", kust("namePrefix: \xff"), []string{k + `: encoding: the file is not UTF-8`}, ""},
	{"manifest that is no YAML", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\na: b: c\n", []string{`plans/k8s/app.yaml:1:5: syntax: read YAML: mapping values are not allowed`}, ""},
	{"manifest with a key twice", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\nkind: ConfigMap\ndata: x\ndata: y\n", []string{`plans/k8s/app.yaml:3:1: duplicate-key: the key is already at line 2`}, ""},
	{"manifest with a number as a key", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\nkind: ConfigMap\ndata: {8080: y}\n", []string{`plans/k8s/app.yaml:2:8: wrong-type: a key must be text`}, ""},
	{"manifest that is no JSON", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\nkind: ConfigMap\nx: .nan\ny: -.INF\n",
		[]string{`plans/k8s/app.yaml:2:4: wrong-type: not a number of JSON`, `plans/k8s/app.yaml:3:4: wrong-type: not a number of JSON`}, ""},
	{"alias in itself", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\nkind: ConfigMap\nx: &x [*x]\n", []string{`plans/k8s/app.yaml:2:8: alias: an alias within its own anchor`}, ""},
	{"aliases that grow", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\n" + bomb(), []string{`plans/k8s/app.yaml:1:1: too-large: the files of this phase hold more than 1048576 values, aliases written out`}, ""},
	{"aliases that grow in a patch", kust("resources: [app.yaml]\npatches:\n- path: p.yaml") + "-- plans/k8s/p.yaml --\n" + bomb(), []string{`plans/k8s/p.yaml:1:1: too-large`}, ""},
	{"aliases that grow inline", kust("resources: [app.yaml]\npatches:\n- patch: |\n    " + strings.ReplaceAll(strings.TrimSpace(bomb()), "\n", "\n    ")), []string{k + `:3:10: too-large`}, ""},
	{"ConfigMap of the same name", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: migration-position\n",
		[]string{`plans/k8s/app.yaml:4:9: reserved-name: the ConfigMap "migration-position" is Changeover's own`}, ""},
	{"ConfigMap of the same name in a List", kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\nkind: List\nitems:\n- {kind: ConfigMap, metadata: {name: migration-position}}\n",
		[]string{`plans/k8s/app.yaml:3:38: reserved-name`}, ""},
	{"generator of the same name", kust("configMapGenerator:\n- name: migration-position\n  literals: [a=b]"), []string{k + `:2:9: reserved-name`}, ""},
}

// bomb is a manifest of a few hundred bytes that has 9^9 values.
func bomb() string {
	var b strings.Builder
	b.WriteString("kind: ConfigMap\na0: &a0 x\n")
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		below := "*a" + string(level[0]-1)
		b.WriteString("a" + level + ": &a" + level + " [" + strings.Repeat(below+", ", 8) + below + "]\n")
	}
	return b.String()
}

func TestWhatIsNotAllowedIsRefusedWithNothingCalled(t *testing.T) {
	wire := stretch(t)
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			files := with(strings.ReplaceAll(c.tree, "SERVER", wire.address))
			before := wire.touched()
			_, problems := kustomize.Reads(files, doc)
			var refused *kustomize.Refused
			if _, err := kustomize.Build(files, doc.Plan, "plans/orders.yaml", plan.Position{Phase: "only"}, revision); !errors.As(err, &refused) {
				t.Errorf("Build: %v, want *Refused", err)
			} else if len(refused.Problems) != len(problems) {
				t.Errorf("Build found %d problems, Reads %d", len(refused.Problems), len(problems))
			}
			if after := wire.touched(); after != before {
				t.Errorf("something was called: %+v, before %+v", after, before)
			}
			var got []string
			for i, p := range problems {
				s := p.String()
				if i < len(c.want) {
					if want := strings.ReplaceAll(c.want[i], "SERVER", wire.address); strings.HasPrefix(s, want) {
						s = c.want[i]
					}
				}
				got = append(got, s)
				if p.Hint == "" && p.Code == "remote" {
					t.Errorf("%s has no hint", p)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func TestKustomizeAloneWouldHaveCalled(t *testing.T) {
	wire := stretch(t)
	for _, c := range refusals {
		if c.calls == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			before := wire.touched()
			wire.kustomize(with(strings.ReplaceAll(c.tree, "SERVER", wire.address)))
			after := wire.touched()
			switch c.calls {
			case "http":
				if after.requests == before.requests {
					t.Error("no request was made: the tripwire does not work")
				}
			case "process":
				if after.processes == before.processes {
					t.Error("no process was started: the tripwire does not work")
				}
			}
		})
	}
	if wire.touched().connections == 0 {
		t.Error("nothing connected to the server: the tripwire does not work")
	}
}

func TestAPatchThatIsAnAddressTooIsNotFetched(t *testing.T) {
	wire := stretch(t)
	files := with(kust("resources: [app.yaml]\npatchesStrategicMerge: [\"http: {a: b}\"]"))
	if _, err := build(t, files); err == nil {
		t.Error("the patch was built")
	}
	if wire.touched() != (touches{}) {
		t.Error("something was called")
	}
	if wire.kustomize(files); wire.touched().requests == 0 {
		t.Error("kustomize alone makes no request: this test shows nothing")
	}
}
