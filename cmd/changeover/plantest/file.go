package plantest

import (
	"time"

	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
)

// File is one test file.
type File struct {
	// Name as it was given, Plan the path of the plan's file as it stands in
	// the test file.
	Name string
	Plan string
	// Interval is how often the daemon evaluates.
	Interval time.Duration
	// Start is when the tests begin.
	Start time.Time
	Tests []Test

	plan place // where Plan stands
}

// place is a line and a column, both from 1.
type place struct{ line, column int }

// Test is one story.
type Test struct {
	Name string
	Line int // where it begins
	// Position is declared from the beginning; Effective is where the plan is
	// then, none where nothing was applied yet.
	Position, Effective plan.Position
	Series              []engine.Series
	Commits             []Commit
	Objects             map[string]map[string]any
	Expect              []Expectation

	unset struct{ position, effective bool }
	at    struct{ position, effective place }
}

// Commit declares a position from a time on.
type Commit struct {
	At       time.Duration
	Position plan.Position
	Resume   bool
	place    place
}

// Expectation is what must be so at a time.
type Expectation struct {
	At     time.Duration
	Checks []check
}

// check is one thing that is expected.
type check struct {
	place
	kind kind
	// gate is NAME or EFFECT/NAME, of a check of a gate.
	gate string
	want string
}

type kind string

const (
	ofGate     kind = "gate"
	ofDecision kind = "decision"
	ofPosition kind = "position"
	ofDeclared kind = "declared"
)
