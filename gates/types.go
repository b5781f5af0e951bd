package gates

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Verdict of a gate.
type Verdict string

// The verdicts. Pass: the expression is true; for pause and rollback gates
// true means breach. NoData: it is unknown. Error: it could not be evaluated.
// NoData and Error are never Pass and never a breach.
const (
	Pass   Verdict = "Pass"
	Fail   Verdict = "Fail"
	NoData Verdict = "NoData"
	Error  Verdict = "Error"
)

// Request names gates of a plan to evaluate: those with some effects at one
// stop.
type Request struct {
	Stop    plan.Position
	Effects []plan.Effect
	// Since is when the stop was entered; zero for a stop not yet entered.
	// The windows of advance gates start there at the earliest.
	Since time.Time
	// Fresh is set at a stop that was entered backward: pause, rollback and
	// verify gates are NoData until Since plus the longest range selector of their
	// queries has passed, and their windows start there at the earliest.
	Fresh bool
}

// Key names one result. Revision is in it because the alarms of the last good
// revision and of the head coexist.
type Key struct {
	Revision plan.Revision `json:"revision"`
	Stop     plan.Position `json:"stop"`
	Effect   plan.Effect   `json:"effect"`
	Name     string        `json:"name"`
}

// Result of one gate.
type Result struct {
	Key
	Verdict Verdict `json:"verdict"`
	// Now is the verdict of the expression at this instant, without its
	// `for`. It equals Verdict where the gate has none.
	Now Verdict `json:"now"`
	// Waits: it has no data only since what was sampled before the stop was
	// entered backward does not count. That passes by itself.
	Waits bool `json:"waits,omitempty"`
	// Expr and Message are the gate's own; Detail says why, for people:
	// values, or what is unknown and why. Detail holds no clock.
	Expr    string `json:"expr"`
	Message string `json:"message,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Values of what the expression reads, where known: those of signals by
	// their names, the newest of series.NAME, and baseline.NAME.
	Values map[string]float64 `json:"values,omitempty"`
}

// Results are in the order of the requests and of the plan's file.
type Results []Result

// Need is one signal to sample. Needs are comparable: two equal ones, of one
// plan or of several, are asked once.
type Need struct {
	Query        string
	SamplesQuery string  // empty: no least number of samples
	SamplesMin   float64 // SamplesQuery below it: unknown
	Freshness    string  // the query for the age of the newest sample, seconds; empty: derived from Query
	MaxAge       time.Duration
	// Window is how far back points are needed, for gates with `for`; zero:
	// only the newest value.
	Window time.Duration
	// Step between the points of the window.
	Step time.Duration
}

// Point is the value of a signal at a time.
type Point struct {
	Time  time.Time
	Value float64
	// Unknown is empty where Value is known, else why it is not: "no
	// series", "NaN", "newest sample is older than 2m", "12 samples, need
	// 400". It holds no clock.
	Unknown string
}

// Sample is the answer to a Need.
type Sample struct {
	// Last is the value as of the time that was asked for.
	Last Point
	// Points of the window, oldest first, one for each step, unknown ones
	// included; the newest is at the time that was asked for.
	Points []Point
	// Err says that the query could not be answered (unreachable, refused,
	// timed out) or answered with what is an error (several series). The
	// signal is unknown then, and a gate whose result hangs on it is Error.
	Err error
}

// Snapshot is all that an evaluation reads.
type Snapshot struct {
	Now time.Time
	// Samples by need.
	Samples map[Need]Sample
	Facts   Facts
}

// Facts are what expressions know beside signals.
type Facts struct {
	Position plan.Position // effective
	Declared plan.Position
	// Since when the effective stop and its phase are in effect.
	StopSince, PhaseSince time.Time
	Health                Health
	// Objects by their names in the plan.
	Objects map[string]Object
	// Baselines that were remembered, by their names in the plan; one that is
	// not there is unknown.
	Baselines map[string]float64
	// Plans are the others of the namespace, by name; one that is not there is
	// unknown.
	Plans map[string]PlanState
	// Approvals for the stop that is entered next.
	Approvals Approvals
	Commit    Commit
	Bridges   Bridges
	// Entities; nil: not read.
	Entities *Entities
	// Transforms of the plan by name; one that is not there is unknown.
	Transforms map[string]Transform
}

// PlanState is how another plan stands.
type PlanState struct {
	// Unknown is empty where the rest is known, else why it is not, as "there
	// is no such plan". It holds no clock.
	Unknown string
	// Position is the effective one, or where the plan is going back to; none
	// where nothing was applied yet.
	Position, Declared plan.Position
	Complete           bool
	// State is the word that `changeover status` shows.
	State string
}

// Approvals count the persons who approved a stop.
type Approvals struct {
	// By role; a role that is not there is unknown.
	By map[string]int
	// Unknown says why roles are not there.
	Unknown string
}

// Commit is one on the branch. What is zero is unknown. Nothing of it is
// verified: it is what its author's Git wrote into it.
type Commit struct {
	Revision plan.Revision
	Author   string // e-mail address, in lower case
	Time     time.Time
}

// Object is a live object that gates may read.
type Object struct {
	// Value is its JSON; nil where there is none: gates that read it have no
	// data.
	Value map[string]any
	// Err says why it could not be read: gates that read it are Error.
	Err error
}

// Health of what was applied.
type Health struct{ Cluster, Gateway bool }
