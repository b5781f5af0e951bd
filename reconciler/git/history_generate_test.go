package git

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// node is what stands at a path: a file, a link, or a submodule's commit.
type node struct{ mode, data string }

const (
	plainMode  = "100644"
	execMode   = "100755"
	linkMode   = "120000"
	moduleMode = "160000"
)

// world is a whole tree as people edit it: the shop's plan, its overlay, and
// what else lies in a repository.
type world struct {
	shop    shopState
	exec    bool            // the plan's file has the mode of a program
	broken  bool            // the plan's file does not parse
	overlay map[string]node // by name in the overlay's folder; all are listed
	others  map[string]node
}

func (w world) clone() world {
	w.shop = w.shop.clone()
	w.overlay, w.others = maps.Clone(w.overlay), maps.Clone(w.others)
	return w
}

// tree is what is at each path.
func (w world) tree() map[string]node {
	out := maps.Clone(w.others)
	k := "resources:\n"
	for _, name := range slices.Sorted(maps.Keys(w.overlay)) {
		out[overlayDir+"/"+name] = w.overlay[name]
		k += "# before " + name + "\n\n# what " + name + " is\n- " + name + "\n"
	}
	out[overlayFile] = node{plainMode, k}
	plan := node{plainMode, w.shop.text()}
	if w.exec {
		plan.mode = execMode
	}
	if w.broken {
		plan.data = strings.Replace(plan.data, "spec:", "spec: [", 1)
	}
	out[w.shop.path] = plan
	return out
}

func oneOf[T any](t *rapid.T, label string, of ...T) T { return rapid.SampledFrom(of).Draw(t, label) }

func chance(t *rapid.T, label string, oneIn int) bool {
	return rapid.IntRange(1, oneIn).Draw(t, label) == 1
}

// editPlan changes the plan's file.
func (w *world) editPlan(t *rapid.T) {
	switch {
	case chance(t, "mode", 12):
		w.exec = !w.exec
	case chance(t, "move", 14):
		w.shop.path = oneOf(t, "path", shopFile, "plans/b.yaml", "plans/sub/c.yml")
	case chance(t, "break", 60):
		w.broken = !w.broken
	default:
		editShop(t, &w.shop)
	}
}

// editOverlay changes what the plan reads.
func (w *world) editOverlay(t *rapid.T) {
	name := oneOf(t, "resource", "a.yaml", "b.yaml", "c.yaml", "data.bin", "link.yaml")
	n, there := w.overlay[name]
	lines := strings.Split(n.data, "\n")
	switch kind := rapid.IntRange(0, 11).Draw(t, "kind"); {
	case name == "link.yaml":
		// What it leads to is always there.
		w.overlay[name] = node{linkMode, oneOf(t, "target", "../../README.md", "../other/x.yaml", "kustomization.yaml")}
		if kind == 0 {
			delete(w.overlay, name)
		}
	case name == "data.bin":
		w.overlay[name] = node{plainMode, "\x00\x01" + strings.Repeat(fmt.Sprintf("%d\n", rapid.IntRange(0, 2).Draw(t, "bytes")), 5)}
	case !there:
		for i := range 12 {
			lines = append(lines, fmt.Sprintf("%s line %d", name, i))
		}
		w.overlay[name] = node{plainMode, strings.Join(lines, "\n")}
	case kind == 0:
		delete(w.overlay, name)
	case kind == 1:
		delete(w.overlay, name)
		w.overlay["moved-"+name] = n
	case kind == 2:
		n.mode = oneOf(t, "mode of a resource", plainMode, execMode)
		w.overlay[name] = n
	case kind == 3:
		n.data = strings.ReplaceAll(strings.ReplaceAll(n.data, "\r", ""), "\n", oneOf(t, "ends", "\n", "\r\n"))
		w.overlay[name] = n
	case kind < 6:
		at := rapid.IntRange(0, len(lines)).Draw(t, "at")
		n.data = strings.Join(slices.Insert(lines, at, fmt.Sprintf("new %d", rapid.IntRange(0, 99).Draw(t, "n"))), "\n")
		w.overlay[name] = n
	default:
		lines[rapid.IntRange(0, len(lines)-1).Draw(t, "line")] = fmt.Sprintf("v%d", rapid.IntRange(0, 3).Draw(t, "value"))
		n.data = strings.Join(lines, "\n")
		w.overlay[name] = n
	}
}

// editOther changes what no plan reads, also what stands at a path.
func (w *world) editOther(t *rapid.T) {
	name := oneOf(t, "other", "README.md", "docs/a.md", "plans/notes.txt", overlayDir+"/unlisted.txt", "vendor/lib", "current")
	switch name {
	case "README.md":
		w.others[name] = node{plainMode, oneOf(t, "readme", "one\n", "two\n", "three")}
	case "vendor/lib":
		w.others[name] = oneOf(t, "module", node{moduleMode, strings.Repeat("1", 40)}, node{moduleMode, strings.Repeat("2", 40)}, node{plainMode, "a file\n"})
	case "current":
		w.others[name] = oneOf(t, "link", node{linkMode, "docs"}, node{linkMode, "plans"}, node{plainMode, "a file\n"})
	default:
		if _, there := w.others[name]; there && chance(t, "delete", 3) {
			delete(w.others, name)
			return
		}
		w.others[name] = node{oneOf(t, "mode of other", plainMode, execMode), fmt.Sprintf("%d\n", rapid.IntRange(0, 9).Draw(t, "text"))}
	}
}

// edit is what one commit does.
func (w *world) edit(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "edits") {
		switch rapid.IntRange(0, 9).Draw(t, "of") {
		case 0, 1, 2:
			w.editOverlay(t)
		case 3, 4:
			w.editOther(t)
		default:
			w.editPlan(t)
		}
	}
}

// merged is what a merge makes of a trunk and a side branch that began at base:
// what one of them changed, and where both did, what the person chose.
func (w world) merged(t *rapid.T, side, base world) world {
	out := w.clone()
	pick := func(ours, theirs, base map[string]node) map[string]node {
		res := map[string]node{}
		for name := range ours {
			res[name] = ours[name]
		}
		for _, name := range slices.Sorted(maps.Keys(union(theirs, base))) {
			o, s, b := ours[name], theirs[name], base[name]
			if s == b || o != b && !chance(t, "side wins", 2) {
				continue
			}
			if s == (node{}) {
				delete(res, name)
				continue
			}
			res[name] = s
		}
		return res
	}
	out.overlay = pick(w.overlay, side.overlay, base.overlay)
	out.others = pick(w.others, side.others, base.others)
	if side.shop.text() != base.shop.text() && (w.shop.text() == base.shop.text() || chance(t, "side's plan", 2)) {
		out.shop, out.exec, out.broken = side.clone().shop, side.exec, side.broken
	}
	if chance(t, "evil", 4) {
		out.editPlan(t)
	}
	return out
}

func union(a, b map[string]node) map[string]node {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// worlds is a history for git fast-import: a trunk, with merges of branches
// that left it earlier.
type worlds struct {
	stream bytes.Buffer
	marks  int
	trunk  []int
	merges map[int]bool // by mark
}

func (h *worlds) commit(w world, from, merge int) int { return h.commitTree(w.tree(), from, merge) }

func (h *worlds) commitTree(tree map[string]node, from, merge int) int {
	h.marks++
	b := &h.stream
	fmt.Fprintf(b, "commit refs/heads/gen\nmark :%d\ncommitter Ada <ada@example.com> %d +0000\n", h.marks, 1_770_000_000+60*h.marks)
	message := fmt.Sprintf("commit %d\n", h.marks)
	fmt.Fprintf(b, "data %d\n%s\n", len(message), message)
	if from > 0 {
		fmt.Fprintf(b, "from :%d\n", from)
	}
	if merge > 0 {
		fmt.Fprintf(b, "merge :%d\n", merge)
		h.merges[h.marks] = true
	}
	b.WriteString("deleteall\n")
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		n := tree[name]
		if n.mode == moduleMode {
			fmt.Fprintf(b, "M %s %s %s\n", n.mode, n.data, name)
			continue
		}
		fmt.Fprintf(b, "M %s inline %s\ndata %d\n%s\n", n.mode, path.Clean(name), len(n.data), n.data)
	}
	return h.marks
}

// generateWorlds makes a history of some ten commits.
func generateWorlds(t *rapid.T) *worlds {
	h := &worlds{merges: map[int]bool{}}
	w := world{
		shop:    shopState{path: shopFile, cluster: true, position: "gradual@10", bakes: [3]string{"1m", "1m", "1m"}, comments: map[int]string{}},
		overlay: map[string]node{},
		others:  map[string]node{"README.md": {plainMode, "one\n"}, "deploy/other/x.yaml": {plainMode, "x: 1\n"}},
	}
	for range rapid.IntRange(0, 4).Draw(t, "signals") {
		w.shop.signals = append(w.shop.signals, fmt.Sprintf("a%d v0", len(w.shop.signals)))
	}
	w.editOverlay(t)
	tip := h.commit(w, 0, 0)
	h.trunk = []int{tip}
	states := []world{w}
	for range rapid.IntRange(2, 9).Draw(t, "commits") {
		w = w.clone()
		if !chance(t, "merge", 4) {
			w.edit(t)
			tip = h.commit(w, tip, 0)
		} else {
			at := rapid.IntRange(max(0, len(states)-3), len(states)-1).Draw(t, "left at")
			side := states[at].clone()
			branch := h.trunk[at]
			for range rapid.IntRange(1, 2).Draw(t, "on the branch") {
				side.edit(t)
				branch = h.commit(side, branch, 0)
			}
			w = w.merged(t, side, states[at])
			tip = h.commit(w, tip, branch)
		}
		h.trunk, states = append(h.trunk, tip), append(states, w)
	}
	return h
}
