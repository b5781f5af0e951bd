package story

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

//go:embed orders.yaml
var template string

// What the plan in orders.yaml says; a test compares.
const (
	planPath  = "migrations/orders.yaml"
	header    = "X-Customer-ID"
	gateName  = "high-errors"
	threshold = 0.05
	gateFor   = 4 * time.Second
)

var planKey = plan.Key{Namespace: "shop", Name: "orders"}

func planFor(legacy, modern string) []byte {
	return []byte(strings.NewReplacer("LEGACY", legacy, "MODERN", modern).Replace(template))
}

var positionLine = regexp.MustCompile(`(?m)^  position: .*$`)

// promote changes the one line of the plan that a promotion changes.
func promote(src []byte, to plan.Position) ([]byte, error) {
	if n := len(positionLine.FindAll(src, -1)); n != 1 {
		return nil, fmt.Errorf("edit the plan: it has %d lines with the position, not one", n)
	}
	line := fmt.Sprintf("  position: {phase: %s, percent: %s}", to.Phase, to.Percent)
	return positionLine.ReplaceAllLiteral(src, []byte(line)), nil
}

// query of a signal of the plan.
func query(src []byte, signal string) (string, error) {
	doc, problems := plan.Decode(planPath, src)
	if plan.HasErrors(problems) {
		return "", fmt.Errorf("read the plan: %s", problems[0])
	}
	s, ok := doc.Plan.Spec.Signals[signal]
	if !ok {
		return "", fmt.Errorf("read the plan: it has no signal %q", signal)
	}
	return s.Query, nil
}
