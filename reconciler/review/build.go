package review

import (
	"cmp"
	"slices"

	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
)

// Build says what going from one tree to the other would do. It is a pure
// function of its arguments, Options.Gates included.
func Build(base, head Tree, o Options) Review {
	b := &builder{Options: o, base: base, head: head, connected: problemsByFile(connect(base)), connects: problemsByFile(connect(head))}
	r := Review{
		Base: Side{base.Name, base.Revision}, Head: Side{head.Name, head.Revision},
		Legal: true, Evaluated: o.Gates != nil, Plans: []Plan{},
	}
	b.pairs = pair(base.Plans, head.Plans)
	for _, p := range b.pairs {
		one, changed := b.review(p)
		if !changed {
			r.Unchanged++
			continue
		}
		r.Legal = r.Legal && len(one.Illegal) == 0
		r.Plans = append(r.Plans, one)
	}
	return r
}

// builder is what the reviews of all plans share.
type builder struct {
	Options
	base, head Tree
	pairs      []couple
	// connected and connects are the problems of how the plans of base and head
	// hang together, by file.
	connected, connects map[string][]plan.Problem
}

// couple is a plan at base and head; one of them may be nil.
type couple struct {
	key        plan.Key
	base, head *File
}

// pair finds the plans of two trees by their identity. A file that does not tell
// whose it is any more counts as the plan that it was.
func pair(base, head []File) []couple {
	byKey, byPath := map[plan.Key]*File{}, map[string]plan.Key{}
	for i := range base {
		f := &base[i]
		key := f.Version.Plan.Key()
		if _, twice := byKey[key]; key.Name == "" || twice {
			continue
		}
		byKey[key], byPath[f.Version.Path] = f, key
	}
	var out []couple
	taken := map[plan.Key]bool{}
	for i := range head {
		f := &head[i]
		key := f.Version.Plan.Key()
		if key.Name == "" {
			key = byPath[f.Version.Path]
		}
		c := couple{key: key, head: f}
		// Of two files of one plan the first counts; both have a problem.
		if !taken[key] && key.Name != "" {
			taken[key], c.base = true, byKey[key]
		}
		out = append(out, c)
	}
	for key, f := range byKey {
		if !taken[key] {
			out = append(out, couple{key: key, base: f})
		}
	}
	slices.SortStableFunc(out, func(a, b couple) int {
		return cmp.Or(plan.CompareKeys(a.key, b.key), cmp.Compare(a.path(), b.path()))
	})
	return out
}

func (c couple) path() string {
	if c.head != nil {
		return c.head.Version.Path
	}
	return c.base.Version.Path
}

// versions are the plan's at base and head; zero where there is none.
func (c couple) versions() (base, head plan.Version) {
	if c.base != nil {
		base = c.base.Version
	}
	if c.head != nil {
		head = c.head.Version
	}
	return base, head
}

// changed reports whether the two differ in what a daemon reads.
func (c couple) changed() bool {
	if c.base == nil || c.head == nil {
		return true
	}
	b, h := c.base.Version, c.head.Version
	return b.Content != h.Content || b.Plan.Spec.Position != h.Plan.Spec.Position || b.Plan.Spec.Suspend != h.Plan.Spec.Suspend
}

func (b *builder) review(c couple) (Plan, bool) {
	changed := c.changed()
	problems := b.problems(c, changed)
	broken := plan.HasErrors(problems)
	if !changed && !broken {
		return b.cascade(c)
	}
	base, head := c.versions()
	p := Plan{Key: c.key, File: c.path(), Problems: problems}
	if base.Plan != nil {
		p.From = base.Plan.Spec.Position
		if base.Path != p.File {
			p.MovedFrom = base.Path
		}
	}
	if head.Plan != nil {
		p.To, p.Suspended = head.Plan.Spec.Position, head.Plan.Spec.Suspend
	}
	if broken {
		p.Kind = Invalid
		p.illegal("invalid", "the plan does not validate: the daemon would go on with the last version that does, and move nothing forward",
			"mend the errors listed; `changeover validate` finds the same")
		return p, true
	}
	b.compare(&p, c)
	b.judge(&p, c)
	if head.Plan != nil {
		b.travel(&p, c)
		b.renders(&p, c)
	}
	return p, true
}

// problems are the new ones of the head: those that the base has too are not of
// this change. A changed plan must be whole, whatever it was before.
func (b *builder) problems(c couple, changed bool) []plan.Problem {
	if c.head == nil {
		return nil
	}
	now := slices.Concat(c.head.Problems, b.connects[c.head.Version.Path])
	var before []plan.Problem
	if c.base != nil {
		before = slices.Concat(c.base.Problems, b.connected[c.base.Version.Path])
	}
	if changed {
		now = append(now, b.checks(b.head, c.head)...)
		if plan.HasErrors(now) {
			plan.Sort(now)
			return now
		}
		if c.base != nil {
			before = append(before, b.checks(b.base, c.base)...)
		}
	}
	now = newProblems(before, now)
	plan.Sort(now)
	return now
}

// checks are what is found in a file beyond decoding; lint only where that is
// whole.
func (b *builder) checks(t Tree, f *File) []plan.Problem {
	var ps []plan.Problem
	if b.Check != nil {
		ps = b.Check(f.Document)
	}
	if plan.HasErrors(f.Problems) || plan.HasErrors(ps) {
		return ps
	}
	return append(ps, lint.CheckAmong(f.Document, keysOf(t))...)
}

func keysOf(t Tree) []plan.Key {
	var keys []plan.Key
	for _, f := range t.Plans {
		if k := f.Version.Plan.Key(); k.Name != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

// newProblems leaves out those that were there before, wherever in the file.
func newProblems(before, now []plan.Problem) []plan.Problem {
	type id struct {
		severity      plan.Severity
		code, message string
	}
	had := map[id]int{}
	for _, p := range before {
		had[id{p.Severity, p.Code, p.Message}]++
	}
	var out []plan.Problem
	for _, p := range now {
		k := id{p.Severity, p.Code, p.Message}
		if had[k] > 0 {
			had[k]--
			continue
		}
		out = append(out, p)
	}
	return out
}

func connect(t Tree) []plan.Problem {
	docs := make([]*plan.Document, 0, len(t.Plans))
	for _, f := range t.Plans {
		docs = append(docs, f.Document)
	}
	return plan.Connect(docs)
}

func problemsByFile(ps []plan.Problem) map[string][]plan.Problem {
	out := map[string][]plan.Problem{}
	for _, p := range ps {
		out[p.File] = append(out[p.File], p)
	}
	return out
}

func (p *Plan) illegal(code, message, hint string) {
	p.Illegal = append(p.Illegal, Finding{code, message, hint})
}

// compare fills in what differs.
func (b *builder) compare(p *Plan, c couple) {
	base, head := c.versions()
	change := plan.Compare(base.Plan, head.Plan)
	if c.base == nil || c.head == nil {
		p.Kind = New
		if c.head == nil {
			p.Kind = Removed
		}
		return
	}
	for _, f := range change.Fields {
		if f != "spec.position.phase" && f != "spec.position.percent" && f != "spec.position" && f != "spec.suspend" {
			p.Fields = append(p.Fields, f)
		}
	}
	p.Live = base.Live != head.Live
	p.Reads = p.Live && !change.Live
	switch {
	case change.Direction == plan.Forward:
		p.Kind = Raise
	case change.Direction == plan.Backward:
		p.Kind = Lower
	case change.Direction == plan.Unknown:
		p.Kind = Elsewhere
	case base.Content != head.Content:
		p.Kind = Content
	default:
		p.Kind = Suspend
	}
}
