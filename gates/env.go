package gates

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of one expression. The static bound is checked when the plan is read,
// the run-time one at every evaluation; a plain comparison costs 3.
const (
	maxExprRunes = 4096
	maxDepth     = 64
	maxCost      = 10000
	maxListRange = 1000
	// interruptEvery is how many steps of a loop run between two looks at
	// the context.
	interruptEvery = 100
	// maxNameBytes bounds the text that facts hold: the name of a phase.
	maxNameBytes = 253
	// maxObjectSize is for how many elements or characters a part of a live
	// object is taken before it is known. It says which expressions are
	// refused when they are read; maxCost stops the others when they run.
	maxObjectSize = 32
)

// The object types of the variables. They are closed: a field that is not
// declared is a compile error.
const (
	signalsType   = "changeover.Signals"
	seriesType    = "changeover.Series"
	baselinesType = "changeover.Baselines"
	objectsType   = "changeover.Objects"
	positionType  = "changeover.Position"
	sinceType     = "changeover.Since"
	healthType    = "changeover.Health"
	commitType    = "changeover.Commit"
	planType      = "changeover.Plan"
	clientsType   = "changeover.Clients"
	shadowType    = "changeover.Shadow"
)

// objectFields are the fields of the object types that are the same in every
// plan.
var objectFields = map[string]map[string]*cel.Type{
	positionType: {"phase": cel.StringType, "percent": cel.DoubleType},
	sinceType:    {"since": cel.TimestampType, "age": cel.DurationType},
	healthType:   {"cluster": cel.BoolType, "gateway": cel.BoolType},
	commitType:   {"author": cel.StringType, "time": cel.TimestampType},
	clientsType:  {"legacy": cel.IntType, "modern": cel.IntType},
	shadowType:   {"matchRate": cel.DoubleType, "coverage": cel.DoubleType, "comparisons": cel.IntType},
	entitiesType: entityTypes(),
	transformType: {
		"total": cel.IntType, "done": cel.IntType, "failed": cel.IntType, "objects": cel.IntType, "orphaned": cel.IntType, "complete": cel.BoolType,
	},
	planType: {
		"phase": cel.StringType, "percent": cel.DoubleType, "declared": cel.ObjectType(positionType),
		"complete": cel.BoolType, "state": cel.StringType,
	},
}

// variables of an expression and their types. Names of plans, roles and transforms may
// hold a dash, so these are maps: plans["onap-so"]. Which names they have is checked
// when the expression is read, as for the fields of an object.
var variables = map[string]*cel.Type{
	"signal":   cel.ObjectType(signalsType),
	"series":   cel.ObjectType(seriesType),
	"baseline": cel.ObjectType(baselinesType),
	"object":   cel.ObjectType(objectsType),
	"position": cel.ObjectType(positionType),
	"declared": cel.ObjectType(positionType),
	"stop":     cel.ObjectType(sinceType),
	"phase":    cel.ObjectType(sinceType),
	"health":   cel.ObjectType(healthType),
	"plans":    cel.MapType(cel.StringType, cel.ObjectType(planType)),
	"commit":   cel.ObjectType(commitType),
	"clients":  cel.ObjectType(clientsType),
	"shadow":   cel.ObjectType(shadowType),
	"entities": cel.ObjectType(entitiesType),
	"now":      cel.TimestampType,

	"approvals":  cel.MapType(cel.StringType, cel.IntType),
	"transforms": cel.MapType(cel.StringType, cel.ObjectType(transformType)),
}

// variableNames in the order in which hints list them.
var variableNames = []string{"signal", "series", "baseline", "object", "position", "declared", "stop", "phase", "health", "plans", "approvals", "clients", "shadow", "entities", "transforms", "commit", "now"}

// baseEnv holds what is the same in every plan; building it takes far longer
// than extending it.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExprRunes),
		cel.ParserRecursionLimit(maxDepth),
		ext.Math(), ext.Strings(), ext.Lists(ext.ListsMaxRangeSize(maxListRange)), ext.Sets(),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	}
	for _, name := range variableNames {
		opts = append(opts, cel.Variable(name, variables[name]))
	}
	return cel.NewEnv(append(opts, functionOptions()...)...)
})

// declared is what expressions of one plan may read, each list sorted.
type declared struct {
	signals, series, baselines, objects, roles, transforms []string
	// plan is the name of the plan itself.
	plan string
	// untold are the facts that only bridges tell, with the reason why they do not
	// for this plan.
	untold map[string]string
	// listed: the plan names an inventory of entities.
	listed bool
	// points is how many values the series of a signal has.
	points map[string]int
}

func declaredBy(p *plan.Plan) declared {
	s := p.Spec
	d := declared{
		plan:       p.Metadata.Name,
		roles:      slices.Sorted(maps.Keys(s.Roles)),
		transforms: transformNames(p),
		signals:    slices.Sorted(maps.Keys(s.Signals)),
		baselines:  slices.Sorted(maps.Keys(s.Baselines)),
		objects:    slices.Sorted(maps.Keys(s.Objects)),
		points:     map[string]int{},
	}
	switch {
	case s.Gateway.Bridged():
		d.untold = map[string]string{"clients": "the gateway serves a part of the requests past the bridge, and counts nobody"}
	case s.Gateway == nil || s.Gateway.Bridge == nil:
		d.untold = map[string]string{"clients": "only a bridge counts clients", "shadow": "only a bridge compares answers"}
	}
	d.listed = s.Entities != nil && s.Entities.Source != nil
	for _, name := range d.signals {
		if n := s.Signals[name].Points(); n > 0 {
			d.series, d.points[name] = append(d.series, name), n
		}
	}
	return d
}

// newEnv makes the environment in which signal, series, baseline and object
// have exactly these fields.
func newEnv(d declared) (*cel.Env, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, fmt.Errorf("build the CEL environment: %w", err)
	}
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("build the CEL types: %w", err)
	}
	p := &provider{Provider: reg, own: map[string]map[string]*cel.Type{
		signalsType:   fieldsOf(d.signals, cel.DoubleType),
		seriesType:    fieldsOf(d.series, cel.ListType(cel.DoubleType)),
		baselinesType: fieldsOf(d.baselines, cel.DoubleType),
		objectsType:   fieldsOf(d.objects, cel.DynType),
	}}
	env, err := base.Extend(cel.CustomTypeAdapter(reg), cel.CustomTypeProvider(p))
	if err != nil {
		return nil, fmt.Errorf("build the CEL environment of the plan: %w", err)
	}
	return env, nil
}

func fieldsOf(names []string, t *cel.Type) map[string]*cel.Type {
	fields := make(map[string]*cel.Type, len(names))
	for _, n := range names {
		fields[n] = t
	}
	return fields
}

// provider adds the closed object types to those of CEL.
type provider struct {
	types.Provider
	// own are the fields of the types that differ from plan to plan.
	own map[string]map[string]*cel.Type
}

func (p *provider) fields(typeName string) (map[string]*cel.Type, bool) {
	if f, ok := p.own[typeName]; ok {
		return f, true
	}
	f, ok := objectFields[typeName]
	return f, ok
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.fields(name); ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	f, ok := p.fields(name)
	if !ok {
		return p.Provider.FindStructFieldNames(name)
	}
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, true
}

// FindStructFieldType implements types.Provider. Values come from plain maps
// at run time, so no accessors are set.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f, ok := p.fields(name)
	if !ok {
		return p.Provider.FindStructFieldType(name, field)
	}
	t, ok := f[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: t}, true
}

// sizes bounds what the facts hold, so that the static cost of an expression
// over them is finite.
type sizes struct{ points map[string]int }

// EstimateSize implements checker.CostEstimator.
func (s sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	if n.Type() == nil {
		return nil
	}
	path := n.Path()
	if len(path) == 2 && path[0] == "series" {
		return &checker.SizeEstimate{Min: 0, Max: uint64(s.points[path[1]])}
	}
	if len(path) > 1 && path[0] == "object" {
		return &checker.SizeEstimate{Min: 0, Max: maxObjectSize}
	}
	switch n.Type().Kind() {
	case types.StringKind:
		if len(path) > 0 && variables[path[0]] != nil {
			return &checker.SizeEstimate{Min: 0, Max: maxNameBytes}
		}
	case types.StructKind:
		return &checker.SizeEstimate{Min: 1, Max: maxNameBytes}
	}
	return nil
}

// EstimateCallCost implements checker.CostEstimator.
func (s sizes) EstimateCallCost(_, overload string, _ *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	return s.estimateFunction(overload, args)
}
