package entity

import (
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"

	"github.com/changeover-dev/changeover/gates/celtext"
	"github.com/changeover-dev/changeover/plan"
)

// Bounds of one expression.
const (
	maxExprRunes = 16384 // a body is written as one expression
	maxDepth     = 64
	// maxCost stops an expression when it runs; a page of an inventory is large.
	maxCost        = 10_000_000
	interruptEvery = 100
	// maxBody is the largest body of a call, in bytes.
	maxBody = 1 << 20
)

const valuesType = "changeover.Values"

// variables of the expressions, by their use.
var (
	overItem  = []string{"item", "values"}
	overPage  = []string{"body", "headers"}
	overID    = []string{"id"}
	overCall  = []string{"id", "item", "values"}
	overEqual = []string{"id", "legacy", "modern", "values"}
)

var variableTypes = map[string]*cel.Type{
	"item": cel.DynType, "object": cel.DynType, "legacy": cel.DynType, "modern": cel.DynType, "body": cel.DynType,
	"id": cel.StringType, "headers": cel.MapType(cel.StringType, cel.StringType), "values": cel.ObjectType(valuesType),
}

var words = celtext.Words{
	Depth: maxDepth, Runes: maxExprRunes,
	Empty: "write an expression such as item.id, or leave the field out",
	Deep:  "use fewer parentheses, lists and maps",
	Long:  "use a shorter one",
	If:    "write CONDITION ? A : B to choose",
}

func newEnv(e *plan.Entities, names []string) (*cel.Env, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("build the CEL types: %w", err)
	}
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(reg), cel.CustomTypeProvider(&provider{Registry: reg, names: slices.Sorted(maps.Keys(e.Values))}),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(maxExprRunes), cel.ParserRecursionLimit(maxDepth),
		ext.Strings(), ext.Math(), ext.Encoders(), ext.Bindings(), ext.Lists(ext.ListsVersion(1)),
		// A value as one segment of a path, so that it never leads elsewhere.
		cel.Function("escape", cel.Overload("escape_string", []*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return types.String(url.PathEscape(string(v.(types.String)))) }))),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	}
	for _, name := range names {
		opts = append(opts, cel.Variable(name, variableTypes[name]))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("build the CEL environment: %w", err)
	}
	return env, nil
}

// provider adds the closed type of values to those of CEL.
type provider struct {
	*types.Registry
	names []string // of the plan's maps of values
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == valuesType {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if name == valuesType {
		return p.names, true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider. Values come from plain maps at
// run time, so no accessors are set.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != valuesType {
		return p.Registry.FindStructFieldType(name, field)
	}
	if !slices.Contains(p.names, field) {
		return nil, false
	}
	return &types.FieldType{Type: cel.MapType(cel.StringType, cel.StringType)}, true
}
