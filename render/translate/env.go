package translate

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// Bounds of one expression.
const (
	maxExprRunes = 16384 // a body is written as one expression
	maxDepth     = 64
	// staticCost bounds what an expression can cost over a request of
	// assumedSize; maxCost stops it when it runs.
	staticCost = 100_000
	maxCost    = 1_000_000
	// assumedSize is for how many elements or characters a part of a request
	// is taken before it is known.
	assumedSize = 64
	// interruptEvery is how many steps of a loop run between two looks at the
	// deadline.
	interruptEvery = 100
)

const (
	requestType  = "changeover.Request"
	responseType = "changeover.Response"
)

// fields of the variables. They are closed: any other is a compile error.
var fields = map[string]map[string]*cel.Type{
	requestType: {
		"method": cel.StringType, "path": cel.StringType, "segments": cel.ListType(cel.StringType),
		"query": cel.MapType(cel.StringType, cel.StringType), "headers": cel.MapType(cel.StringType, cel.StringType), "body": cel.DynType,
	},
	responseType: {
		"status": cel.IntType, "headers": cel.MapType(cel.StringType, cel.StringType), "body": cel.DynType,
	},
}

var variables = map[string]string{"request": requestType, "response": responseType}

func newEnv(names ...string) (*cel.Env, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("build the CEL types: %w", err)
	}
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(reg), cel.CustomTypeProvider(&provider{reg}),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(maxExprRunes), cel.ParserRecursionLimit(maxDepth),
		// Of the lists those that take no more than linear time.
		ext.Strings(), ext.Math(), ext.Encoders(), ext.Bindings(), ext.Lists(ext.ListsVersion(1)),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	}
	for _, name := range names {
		opts = append(opts, cel.Variable(name, cel.ObjectType(variables[name])))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("build the CEL environment: %w", err)
	}
	return env, nil
}

// The environments of requests and of answers.
var (
	requestEnv  = sync.OnceValues(func() (*cel.Env, error) { return newEnv("request") })
	responseEnv = sync.OnceValues(func() (*cel.Env, error) { return newEnv("request", "response") })
)

// provider adds the closed object types to those of CEL.
type provider struct{ *types.Registry }

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if fields[name] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if f := fields[name]; f != nil {
		return slices.Sorted(maps.Keys(f)), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider. Values come from plain maps at
// run time, so no accessors are set.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f := fields[name]
	if f == nil {
		return p.Registry.FindStructFieldType(name, field)
	}
	t, ok := f[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: t}, true
}

// sizes bounds what a request holds, so that the static cost of an expression is
// finite.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	if path := n.Path(); len(path) > 0 && variables[path[0]] != "" {
		return &checker.SizeEstimate{Min: 0, Max: assumedSize}
	}
	if t := n.Type(); t != nil && (t.Kind() == types.DynKind || t.Kind() == types.StringKind) {
		return &checker.SizeEstimate{Min: 0, Max: assumedSize}
	}
	return nil
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// MaxTime is how long one evaluation of a request or an answer may take.
const MaxTime = time.Second
