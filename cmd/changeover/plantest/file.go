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
	// Others are the paths of the plans that this one depends on, conflicts
	// with, or reads in gates.
	Others []string
	// Interval is how often the daemon evaluates.
	Interval time.Duration
	// Start is when the tests begin.
	Start time.Time
	Tests []Test

	plan place // where Plan stands
	// plans are the plans of Others and of commits, by their paths.
	plans map[string]*plan.Plan
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
	// Author of the commits that do not name their own.
	Author     string
	Series     []engine.Series
	Commits    []Commit
	Approvals  []Approval
	Others     []Other
	Bridges    []Told
	Entities   []Counted
	Transforms []Transformed
	Objects    map[string]map[string]any
	Expect     []Expectation

	unset struct{ position, effective, approvals bool }
	at    struct{ position, effective, approvals place }
}

// Commit is one by a person.
type Commit struct {
	At       time.Duration
	Position plan.Position // none: as before, or as Plan says
	// Plan is the path of the file whose content the plan has from then on.
	Plan           string
	Author         string
	Resume, Unhold bool
	place          place
}

// Approval is one of the raise that declares the position at that time.
type Approval struct {
	At             time.Duration
	Stop           plan.Position
	Role, Item, By string
	place, role    place // of Stop and Role
}

// Other is how another plan stands from a time on.
type Other struct {
	At       time.Duration
	Plan     string // as in dependsOn
	Position plan.Position
	Declared plan.Position // none: Position
	Complete bool
	Unknown  bool
	State    string
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
