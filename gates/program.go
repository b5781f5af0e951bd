package gates

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/changeover-dev/changeover/plan"
)

// Options of Compile.
type Options struct {
	// Interval is how often gates are evaluated, and about the step between
	// the points of a window. 15s where zero.
	Interval time.Duration
}

const (
	defaultInterval = 15 * time.Second
	// maxPoints bounds the points of a window.
	maxPoints = 1000
)

// Program is the gates of one plan, compiled. It is immutable and safe for
// concurrent use: make it once for a plan and use it at every tick.
type Program struct {
	interval  time.Duration
	phases    map[string]map[plan.Effect][]gate
	signals   map[string]*signal
	baselines map[string]*baseline
	objects   map[string]object
	success   []gate
	// plans and approvals are those that expressions read, by name.
	plans, approvals map[string]*cel.AttributePatternType
	readsCommit      bool
	transforms       map[string]bool // that expressions read
}

// gate is one gate of a phase, compiled.
type gate struct {
	plan.Gate
	expr *expr
	// span is from the first point of its `for` to the last: the `for` in whole
	// steps, rounded up. Both are zero where it has none.
	span, step time.Duration
	// sources are what it asks of Prometheus; reach is how old the oldest
	// sample can be that they read.
	sources []source
	reach   time.Duration
}

// signal is what is known of a signal of the plan.
type signal struct {
	need  Need // with no window
	reach time.Duration
	// span and step are of its series; zero where it has none.
	span, step time.Duration
}

// Compile compiles every gate and parses every query of a plan. The error
// names all that are wrong, with their places in the plan's fields; Check gives
// the same as problems with their places in the file.
func Compile(p *plan.Plan, o Options) (*Program, error) {
	prg, faults, err := build(p, o)
	if err != nil {
		return nil, err
	}
	if len(faults) == 0 {
		return prg, nil
	}
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("%s: %s", f.path, f.message)
	}
	return nil, fmt.Errorf("compile gates of %q: %w", p.Key(), errors.Join(errs...))
}

// placed is a fault and the field that it is in; empty where that field is.
type placed struct {
	path  string
	empty bool
	fault
}

// builder compiles one plan. Expressions that occur in several phases are
// compiled once.
type builder struct {
	prg      *Program
	compiler *compiler
	exprs    map[string]*expr
	faults   []placed
}

func build(p *plan.Plan, o Options) (*Program, []placed, error) {
	names := declaredBy(p)
	c, err := newCompiler(names)
	if err != nil {
		return nil, nil, err
	}
	b := &builder{compiler: c, exprs: map[string]*expr{}, prg: &Program{
		interval:   cmp.Or(max(o.Interval, 0), defaultInterval),
		phases:     map[string]map[plan.Effect][]gate{},
		signals:    map[string]*signal{},
		baselines:  map[string]*baseline{},
		objects:    map[string]object{},
		plans:      map[string]*cel.AttributePatternType{},
		approvals:  map[string]*cel.AttributePatternType{},
		transforms: map[string]bool{},
	}}
	for name, ref := range p.Spec.Objects {
		b.prg.objects[name] = newObject(name, ref)
	}
	for _, name := range names.signals {
		b.signal(name, p.Spec.Signals[name])
	}
	for _, name := range names.baselines {
		b.baseline(name, p.Spec.Baselines[name])
	}
	for i, ph := range p.Spec.Phases {
		byEffect := map[plan.Effect][]gate{}
		for _, effect := range plan.Effects {
			for j, g := range ph.GatesOf(effect) {
				b.gate(fmt.Sprintf("spec.phases[%d].%s[%d]", i, effect.GatesPath(), j), g, effect, byEffect)
			}
		}
		if _, twice := b.prg.phases[ph.Name]; !twice {
			b.prg.phases[ph.Name] = byEffect
		}
	}
	b.success(p.Spec.Success)
	return b.prg, b.faults, nil
}

func (b *builder) report(path, value string, fs ...fault) {
	for _, f := range fs {
		b.faults = append(b.faults, placed{path: path, empty: strings.TrimSpace(value) == "", fault: f})
	}
}

func (b *builder) signal(name string, s plan.Signal) {
	maxAge := time.Duration(cmp.Or(s.MaxAge, plan.DefaultMaxAge))
	sig := &signal{
		need: Need{Query: s.Query, Freshness: s.Freshness, MaxAge: maxAge},
		span: time.Duration(s.Range), step: time.Duration(s.Step),
	}
	if s.Samples != nil {
		sig.need.SamplesQuery, sig.need.SamplesMin = s.Samples.Query, s.Samples.Min
	}
	path := "spec.signals." + name
	instant := min(lookback, maxAge)
	parse := func(field, query string, wanted bool) {
		if query == "" && !wanted {
			return
		}
		e, fs := parseQuery(query)
		b.report(path+field, query, fs...)
		if e != nil && field != ".freshness" {
			sig.reach = max(sig.reach, reach(e, instant))
		}
	}
	parse(".query", s.Query, true)
	parse(".samples.query", sig.need.SamplesQuery, s.Samples != nil)
	parse(".freshness", s.Freshness, false)
	b.prg.signals[name] = sig
}

func (b *builder) gate(path string, g plan.Gate, effect plan.Effect, into map[plan.Effect][]gate) {
	e, ok := b.exprs[g.Expr]
	if !ok {
		var fs []fault
		if e, fs = b.compiler.compile(g.Expr); len(fs) > 0 {
			b.report(path+".expr", g.Expr, fs...)
			return
		}
		b.exprs[g.Expr] = e
		b.prg.readsBeside(e)
	}
	out := gate{Gate: g, expr: e}
	if g.For > 0 {
		if f, bad := b.prg.windowFault(e); bad {
			b.report(path+".for", g.For.String(), f)
			return
		}
		out.step = windowStep(time.Duration(g.For), b.prg.interval)
		out.span = time.Duration(steps(time.Duration(g.For), out.step)) * out.step
	}
	out.sources, out.reach = b.prg.sources(e, out.span, out.step)
	into[effect] = append(into[effect], out)
}

// windowFault refuses `for` beside what is not known of the past.
func (p *Program) windowFault(e *expr) (fault, bool) {
	f := fault{code: "gate-for"}
	offset := func(name string) bool { return p.baselines[name].shifted != nil }
	switch {
	case len(e.series) > 0:
		f.message = fmt.Sprintf("for needs values of one time each, and %q has a window of its own", "series."+e.series[0])
		f.hint = "drop for, and make the signal's range as long as it should be"
	case len(e.objects) > 0:
		f.message = fmt.Sprintf("for needs an expression over signals alone, and this one reads %q", "object."+e.objects[0])
		f.hint = "drop for, or move that part into a gate of its own: nobody knows what an object was before"
	case len(e.plans) > 0:
		f.message = fmt.Sprintf("for needs an expression over signals alone, and this one reads %q", besideName("plans", e.plans[0]))
		f.hint = "drop for, or move that part into a gate of its own: how another plan stood before is not kept"
	case len(e.approvals) > 0:
		f.message = fmt.Sprintf("for needs an expression over signals alone, and this one reads %q", besideName("approvals", e.approvals[0]))
		f.hint = "drop for, or move that part into a gate of its own"
	case len(e.transforms) > 0:
		f.message = fmt.Sprintf("for needs an expression over signals alone, and this one reads %q", besideName(transformsFact, e.transforms[0]))
		f.hint = "drop for, or move that part into a gate of its own: how far a transform was before is not kept"
	case len(e.facts) > 0:
		f.message = fmt.Sprintf("for needs an expression over signals alone, and this one reads %q", e.facts[0])
		f.hint = "drop for, or move that part into a gate of its own"
	case len(e.signals) == 0 && !slices.ContainsFunc(e.baselines, offset):
		f.message = "for needs an expression over signals, and this one reads none"
		f.hint = "drop for"
	default:
		return fault{}, false
	}
	return f, true
}

// windowStep is the time between the points of a window, in whole milliseconds:
// at most the interval, or more where that would be too many points. It divides
// the window wherever a step not much shorter does, such that a gate is true
// after its `for` and not later.
func windowStep(window, interval time.Duration) time.Duration {
	step := max(interval, (window+maxPoints-1)/maxPoints)
	step = (step + time.Millisecond - 1).Truncate(time.Millisecond)
	unit := time.Second
	if window%unit != 0 || interval%unit != 0 {
		unit = time.Millisecond
	}
	least, units := steps(window, step), int64(window/unit)
	for n := least; n <= min(4*least, maxPoints); n++ {
		if units%n == 0 {
			return time.Duration(units/n) * unit
		}
	}
	return step
}

// steps is how many of them it takes to be at least as long as a window.
func steps(window, step time.Duration) int64 { return int64((window + step - 1) / step) }

// gates calls f for every gate of a request, in the order of its effects and
// of the plan's file.
func (p *Program) gates(r Request, f func(plan.Effect, *gate)) {
	byEffect := p.phases[r.Stop.Phase]
	for _, effect := range r.Effects {
		for i := range byEffect[effect] {
			f(effect, &byEffect[effect][i])
		}
	}
}

// Needs lists what to sample before Eval, each once, sorted.
func (p *Program) Needs(reqs []Request) []Need {
	set := map[Need]struct{}{}
	for _, r := range reqs {
		p.gates(r, func(_ plan.Effect, g *gate) {
			for i := range g.sources {
				set[g.sources[i].need] = struct{}{}
			}
		})
	}
	return slices.SortedFunc(maps.Keys(set), compareNeeds)
}

func compareNeeds(a, b Need) int {
	return cmp.Or(
		cmp.Compare(a.Query, b.Query),
		cmp.Compare(a.SamplesQuery, b.SamplesQuery),
		cmp.Compare(a.SamplesMin, b.SamplesMin),
		cmp.Compare(a.Freshness, b.Freshness),
		cmp.Compare(a.MaxAge, b.MaxAge),
		cmp.Compare(a.Window, b.Window),
		cmp.Compare(a.Step, b.Step),
	)
}

// Points is how many points the need's window has: those at the time that is
// asked for and at every Step before it, as long as they are less than Window
// back. Zero without a window.
func (n Need) Points() int {
	if n.Window <= 0 || n.Step <= 0 {
		return 0
	}
	return int((n.Window + n.Step - 1) / n.Step)
}

// Signal is what to ask for one signal's newest value, and how old the oldest
// sample can be that it reads. ok is false for a name that is none.
func (p *Program) Signal(name string) (need Need, reach time.Duration, ok bool) {
	s, ok := p.signals[name]
	if !ok {
		return Need{}, 0, false
	}
	return s.need, s.reach, true
}
