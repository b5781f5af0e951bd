package entity

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Rank is where an entity stands in the order of the hand-over. The zero value is
// that of a plan without an order: all are equal.
type Rank struct {
	// Class of the value: "time", "number" or "text"; those of one inventory must
	// be of one class.
	Class string
	value ref.Val
}

// Rank of an item: the lowest is handed over first.
func (p *Program) Rank(ctx context.Context, item map[string]any) (Rank, error) {
	if p.order == nil {
		return Rank{}, nil
	}
	v, err := p.order.eval(ctx, map[string]any{"item": item, "values": p.values})
	if err != nil {
		return Rank{}, err
	}
	return p.order.rank(v)
}

// rank is that of a value of the expression.
func (x *Expr) rank(v ref.Val) (Rank, error) {
	switch v := v.(type) {
	case types.Timestamp:
		return Rank{"time", v}, nil
	case types.Int:
		return Rank{"number", v}, nil
	case types.Uint:
		return Rank{"number", v}, nil
	case types.Double:
		if math.IsNaN(float64(v)) {
			return Rank{}, &Failure{Path: x.path, Why: "it is no number"}
		}
		return Rank{"number", v}, nil
	case types.String:
		return Rank{"text", v}, nil
	}
	return Rank{}, &Failure{Path: x.path, Why: fmt.Sprintf("it is %s, want a time, a number or text", v.Type().TypeName())}
}

// Compare is negative where r comes before o. Ranks of different classes have a
// fixed order that means nothing.
func (r Rank) Compare(o Rank) int {
	if r.Class != o.Class || r.value == nil {
		return strings.Compare(r.Class, o.Class)
	}
	mine, ok := r.value.(traits.Comparer)
	if !ok {
		return 0
	}
	v, _ := mine.Compare(o.value).(types.Int)
	return int(v)
}
