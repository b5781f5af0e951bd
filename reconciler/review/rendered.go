package review

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/render/kustomize"
	"github.com/changeover-dev/changeover/render/nginx"
)

// Rendered is one file that a gateway is given.
type Rendered struct{ Name, Content string }

// Gateway renders what the plan's gateway would be given at a stop: its kind,
// the config's hash where it has one, and the files. A plan that moves no
// traffic gives none.
func Gateway(p *plan.Plan, stop plan.Position) (kind, hash string, files []Rendered, err error) {
	switch g := p.Spec.Gateway; {
	case g == nil:
		return "", "", nil, nil
	case g.NGINX != nil:
		f, err := nginx.Render(p, stop)
		name := p.Metadata.Name
		files = []Rendered{
			{name + ".upstreams.conf", string(f.Upstreams)}, {name + ".maps.conf", string(f.Maps)}, {name + ".locations.conf", string(f.Locations)},
		}
		if err == nil && g.Bridged() {
			var behind Rendered
			_, behind, err = bridgeConfig(p, stop)
			files = append(files, behind)
		}
		return "nginx", f.Hash, files, err
	case g.Bridge != nil:
		hash, file, err := bridgeConfig(p, stop)
		return "bridge", hash, []Rendered{file}, err
	}
	o, err := gatewayapi.Render(p, stop)
	if err != nil {
		return "gatewayAPI", "", nil, err
	}
	text, err := yamlOf(o)
	files = []Rendered{{"httproute.yaml", text}}
	if err == nil && p.Spec.Gateway.Bridged() {
		var behind Rendered
		hash, behind, err = bridgeConfig(p, stop)
		files = append(files, behind)
	}
	return "gatewayAPI", hash, files, err
}

// bridgeConfig is what a bridge is given.
func bridgeConfig(p *plan.Plan, stop plan.Position) (hash string, f Rendered, err error) {
	c, err := bridge.Render(p, stop)
	if err != nil {
		return "", f, err
	}
	b, err := c.Encode()
	return c.Hash, Rendered{"bridge.json", string(b)}, err
}

func yamlOf(o render.Object) (string, error) {
	b, err := yaml.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("write %s as YAML: %w", o.ID(), err)
	}
	return string(b), nil
}

// renders compares what gateway and cluster are given at From of the base with
// what they are given at To of the head.
func (b *builder) renders(p *Plan, c couple) {
	now, err := b.traffic(c.head.Version.Plan, p.To)
	if err != nil {
		p.illegal("render", fmt.Sprintf("the gateway's config at %s cannot be rendered: %v", p.To, err), "")
		return
	}
	sound := c.base != nil && b.sound(c.base) && !p.From.IsZero()
	if c.base != nil && !sound {
		return // judge said so
	}
	var before []Rendered
	if sound {
		if before, err = b.traffic(c.base.Version.Plan, p.From); err != nil {
			p.note("The gateway's config at %s of %s cannot be rendered, so it was not compared: %v", p.From, b.base.Name, err)
			return
		}
	}
	p.Gateway = diffFiles(before, now)
	b.cluster(p, c)
}

func diffFiles(before, now []Rendered) []Diff {
	old := map[string]string{}
	for _, f := range before {
		old[f.Name] = f.Content
	}
	var out []Diff
	for _, f := range now {
		was, had := old[f.Name]
		delete(old, f.Name)
		if had && was == f.Content {
			continue
		}
		change := Changed
		if !had {
			change = Added
		}
		out = append(out, newDiff(f.Name, change, was, f.Content))
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		out = append(out, newDiff(name, Gone, old[name], ""))
	}
	return out
}

// cluster compares objects. A phase without cluster config leaves what is there.
func (b *builder) cluster(p *Plan, c couple) {
	head := c.head.Version.Plan
	ph := head.Phase(p.To.Phase)
	if ph.Cluster == nil {
		return
	}
	now, err := objectsAt(b.head.Files, c.head.Version, p.To)
	if err != nil {
		p.illegal("render", fmt.Sprintf("the cluster config of %s cannot be built: %v", p.To, err), "")
		return
	}
	var before map[render.ID]render.Object
	if c.base != nil {
		if at, ok := clusterStop(c.base.Version.Plan, p.From); ok {
			if before, err = objectsAt(b.base.Files, c.base.Version, at); err != nil {
				p.note("The cluster config of %s at %s cannot be built, so it was not compared: %v", at, b.base.Name, err)
				return
			}
		}
	}
	gone := Gone
	if ph.Cluster.Prune != nil && !*ph.Cluster.Prune {
		gone = Kept
	}
	p.Cluster, err = diffObjects(before, now, gone)
	if err != nil {
		p.note("The cluster config was not compared: %v", err)
	}
}

// clusterStop is the stop whose cluster config is in effect at another one: its
// own, or that of the nearest before it that has any.
func clusterStop(p *plan.Plan, at plan.Position) (plan.Position, bool) {
	it := p.Itinerary()
	for i := it.Index(at); i >= 0; i-- {
		if p.Phase(it[i].Phase).Cluster != nil {
			return it[i], true
		}
	}
	return plan.Position{}, false
}

func objectsAt(files fs.FS, v plan.Version, at plan.Position) (map[render.ID]render.Object, error) {
	// Without a revision: every commit has another, which is no change.
	list, err := kustomize.Build(files, v.Plan, v.Path, at, "")
	if err != nil {
		return nil, err
	}
	out := make(map[render.ID]render.Object, len(list))
	for _, o := range list {
		out[o.ID()] = o
	}
	return out, nil
}

func diffObjects(before, now map[render.ID]render.Object, gone string) ([]Diff, error) {
	all := maps.Clone(before)
	if all == nil {
		all = map[render.ID]render.Object{}
	}
	maps.Copy(all, now)
	ids := slices.SortedFunc(maps.Keys(all), func(a, b render.ID) int { return strings.Compare(a.String(), b.String()) })
	var out []Diff
	for _, id := range ids {
		was, is := before[id], now[id]
		if reflect.DeepEqual(was, is) {
			continue
		}
		change := Changed
		switch {
		case was == nil:
			change = Added
		case is == nil:
			change = gone
		}
		a, b, err := shown(was, is)
		if err != nil {
			return nil, err
		}
		out = append(out, newDiff(id.String(), change, a, b))
	}
	return out, nil
}

// otherValue stands for a value of a Secret that is not what it was.
const otherValue = "*** (hidden, another value)"

// shown are both sides of an object as they may be shown.
func shown(was, is render.Object) (a, b string, err error) {
	if was != nil {
		if a, err = yamlOf(render.Masked(was)); err != nil {
			return "", "", err
		}
	}
	if is != nil {
		masked := render.Masked(is)
		for _, field := range []string{"data", "stringData"} {
			differs(was, is, masked, field)
		}
		if b, err = yamlOf(masked); err != nil {
			return "", "", err
		}
	}
	return a, b, nil
}

// differs marks the values of a masked Secret that changed.
func differs(was, is, masked render.Object, field string) {
	hidden, ok := masked[field].(map[string]any)
	old, had := was[field].(map[string]any)
	values, _ := is[field].(map[string]any)
	if !ok || !had || is.Kind() != "Secret" || is.ID().Group != "" {
		return
	}
	for k := range hidden {
		if before, had := old[k]; had && !reflect.DeepEqual(before, values[k]) {
			hidden[k] = otherValue
		}
	}
}

func newDiff(name, change, before, after string) Diff {
	d := Diff{Name: name, Change: change}
	text := diff.Diff("a", []byte(before), "b", []byte(after))
	for range 3 { // the heading: diff, ---, +++
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	d.Text = string(text)
	for line := range strings.Lines(d.Text) {
		switch line[0] {
		case '+':
			d.Plus++
		case '-':
			d.Minus++
		}
	}
	return d
}
