package transform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
)

// Bounds of one expression.
const (
	maxExprRunes = 16384 // an object is written as one expression
	maxDepth     = 64
	// staticCost bounds what an expression can cost over an object whose parts
	// have assumedSize elements or characters; maxCost stops it when it runs.
	staticCost  = 1_000_000
	maxCost     = 1_000_000
	assumedSize = 64
	// interruptEvery is how many steps of a loop run between two looks at the
	// deadline.
	interruptEvery = 100
)

// MaxTime is how long the expressions of one source may take.
const MaxTime = time.Second

// MaxObject is the largest object that is made, in bytes of JSON: what the store
// of an API server takes is a little more.
const MaxObject = 1 << 20

// ordered is the function around everything that a loop goes over. No expression
// can name it.
const ordered = "@ordered"

const (
	planType    = "changeover.TransformPlan"
	fileType    = "changeover.TransformFile"
	targetsType = "changeover.TransformTargets"
)

// scope is what the expressions of one transform may read: the fields of the
// closed variables. object is open.
type scope map[string][]string

var variableTypes = map[string]string{"plan": planType, "file": fileType, "targets": targetsType}

func (s scope) names() []string {
	return append([]string{"object"}, slices.Sorted(maps.Keys(s))...)
}

func newEnv(s scope) (*cel.Env, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("build the CEL types: %w", err)
	}
	p := &provider{Registry: reg, fields: map[string]map[string]*cel.Type{}}
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(reg), cel.CustomTypeProvider(p),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(maxExprRunes), cel.ParserRecursionLimit(maxDepth),
		// Of the lists those that take no more than linear time.
		ext.Strings(), ext.Math(), ext.Encoders(), ext.Bindings(), ext.Lists(ext.ListsVersion(1)), ext.TwoVarComprehensions(),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		cel.Variable("object", cel.DynType),
		cel.Function(ordered, cel.Overload("changeover_ordered", []*cel.Type{cel.TypeParamType("T")}, cel.TypeParamType("T"), cel.UnaryBinding(inOrder))),
	}
	for name, fields := range s {
		if name == "target" {
			opts = append(opts, cel.Variable(name, cel.DynType))
			continue
		}
		types := map[string]*cel.Type{}
		for _, f := range fields {
			types[f] = cel.StringType
			if name == "targets" {
				types[f] = cel.DynType
			}
		}
		p.fields[variableTypes[name]] = types
		opts = append(opts, cel.Variable(name, cel.ObjectType(variableTypes[name])))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("build the CEL environment: %w", err)
	}
	return env, nil
}

// sorted is a map that is gone over in the order of its keys.
type sorted struct{ traits.Mapper }

func inOrder(v ref.Val) ref.Val {
	if m, ok := v.(traits.Mapper); ok {
		return sorted{m}
	}
	return v
}

// Iterator implements traits.Iterable.
func (m sorted) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, func(a, b ref.Val) int {
		if c := cmp.Compare(a.Type().TypeName(), b.Type().TypeName()); c != 0 {
			return c
		}
		if comparer, ok := a.(traits.Comparer); ok {
			if n, ok := comparer.Compare(b).(types.Int); ok {
				return int(n)
			}
		}
		return 0
	})
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// provider adds the closed object types to those of CEL.
type provider struct {
	*types.Registry
	fields map[string]map[string]*cel.Type
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if p.fields[name] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if f := p.fields[name]; f != nil {
		return slices.Sorted(maps.Keys(f)), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider. Values come from plain maps at
// run time, so no accessors are set.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f := p.fields[name]
	if f == nil {
		return p.Registry.FindStructFieldType(name, field)
	}
	t, ok := f[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: t}, true
}

// sizes bounds what an object holds, so that the static cost of an expression is
// finite.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Min: 0, Max: assumedSize}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(function, _ string, _ *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	if function != ordered || len(args) != 1 {
		return nil
	}
	size := args[0].ComputedSize()
	if size == nil {
		size = &checker.SizeEstimate{Min: 0, Max: assumedSize}
	}
	return &checker.CallEstimate{CostEstimate: checker.CostEstimate{Min: size.Min, Max: size.Max}, ResultSize: size}
}
