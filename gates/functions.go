package gates

import (
	"fmt"
	"math/bits"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/changeover-dev/changeover/plan"
)

// The functions beside those of CEL and its libraries. A result that cannot be
// told is NaN here, and unknown in the expression: see finite.
var functions = []struct {
	name, overload string
	args           []*cel.Type
	call           func(args []ref.Val) ref.Val
	// lists is how many of the arguments, from the first, are lists.
	lists int
	// unknown says when the result is.
	unknown string
}{
	{
		name: "wilsonUpper", overload: "wilson_upper_double_double_double",
		args: []*cel.Type{cel.DoubleType, cel.DoubleType, cel.DoubleType},
		call: func(args []ref.Val) ref.Val {
			return types.Double(wilsonUpper(float(args[0]), float(args[1]), float(args[2])))
		},
		unknown: "wilsonUpper has no total",
	},
	{
		name: "quantile", overload: "quantile_list_double", lists: 1,
		args: []*cel.Type{cel.ListType(cel.DoubleType), cel.DoubleType},
		call: func(args []ref.Val) ref.Val {
			xs, err := numbers(args[0])
			if err != nil {
				return err
			}
			return types.Double(quantile(xs, float(args[1])))
		},
		unknown: "quantile has no values",
	},
	{
		name: "mannWhitney", overload: "mann_whitney_list_list", lists: 2,
		args: []*cel.Type{cel.ListType(cel.DoubleType), cel.ListType(cel.DoubleType)},
		call: func(args []ref.Val) ref.Val {
			a, err := numbers(args[0])
			if err != nil {
				return err
			}
			b, err := numbers(args[1])
			if err != nil {
				return err
			}
			return types.Double(mannWhitney(a, b))
		},
		unknown: fmt.Sprintf("mannWhitney has less than %d values of one", leastRanked),
	},
}

// functionOptions declare the functions with what they do.
func functionOptions() []cel.EnvOption {
	var opts []cel.EnvOption
	for _, f := range functions {
		opts = append(opts, cel.Function(f.name, cel.Overload(f.overload, f.args, cel.DoubleType, cel.FunctionBinding(
			func(args ...ref.Val) ref.Val { return f.call(args) }))))
	}
	return opts
}

// trackFunctions counts what the functions cost when they run.
func trackFunctions() cel.ProgramOption {
	var opts []interpreter.CostTrackerOption
	for _, f := range functions {
		opts = append(opts, interpreter.OverloadCostTracker(f.overload, func(args []ref.Val, _ ref.Val) *uint64 {
			n := uint64(0)
			for _, list := range args[:f.lists] {
				if l, ok := list.(traits.Sizer); ok {
					n += uint64(max(0, l.Size().(types.Int)))
				}
			}
			return new(functionCost(n))
		}))
	}
	return cel.CostTrackerOptions(opts...)
}

// estimateFunction bounds the cost of a call before it runs; nil where it is
// none of the functions.
func (s sizes) estimateFunction(overload string, args []checker.AstNode) *checker.CallEstimate {
	for _, f := range functions {
		if f.overload != overload {
			continue
		}
		var least, most uint64
		for _, list := range args[:min(f.lists, len(args))] {
			size := list.ComputedSize()
			if size == nil {
				size = s.EstimateSize(list)
			}
			if size == nil {
				size = &checker.SizeEstimate{Min: 0, Max: plan.MaxPoints}
			}
			least, most = least+size.Min, most+min(size.Max, maxCost)
		}
		return &checker.CallEstimate{CostEstimate: checker.CostEstimate{Min: functionCost(least), Max: functionCost(most)}}
	}
	return nil
}

// functionCost is that of sorting n values, beside a plain comparison of 3.
func functionCost(n uint64) uint64 { return 1 + n*uint64(bits.Len64(n))/8 }

// numbers are the values of a list. A list of a live object can hold anything.
func numbers(list ref.Val) ([]float64, ref.Val) {
	if xs, ok := list.Value().([]float64); ok {
		return xs, nil
	}
	l, ok := list.(traits.Lister)
	if !ok {
		return nil, types.MaybeNoSuchOverloadErr(list)
	}
	n, ok := l.Size().(types.Int)
	if !ok {
		return nil, types.MaybeNoSuchOverloadErr(list)
	}
	xs := make([]float64, n)
	for i := range xs {
		switch x := l.Get(types.Int(i)).(type) {
		case types.Double:
			xs[i] = float64(x)
		case types.Int:
			xs[i] = float64(x)
		case types.Uint:
			xs[i] = float64(x)
		default:
			return nil, types.MaybeNoSuchOverloadErr(x)
		}
	}
	return xs, nil
}

// float is an argument that the checker knows to be a double, or that comes
// from a live object.
func float(v ref.Val) float64 {
	switch x := v.(type) {
	case types.Double:
		return float64(x)
	case types.Int:
		return float64(x)
	case types.Uint:
		return float64(x)
	}
	return nan
}
