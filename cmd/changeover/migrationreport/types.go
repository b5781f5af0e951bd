package migrationreport

import (
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Input is all that a report is made of. Times are in any zone.
type Input struct {
	// Since and Now are the time that a daily report is about.
	Since, Now time.Time
	// Final: the report is about the whole migration.
	Final bool
	// Head is the plan as the branch had it at Now.
	Head plan.Version
	// Changes of the plan up to Now, oldest first, and Approvals that stood then.
	Changes   []decide.Change
	Approvals []decide.Approval
	// Causes of the daemon's reverts, by their commits.
	Causes map[plan.Revision]Cause
	// Track is where the plan was seen to be, oldest first and without gaps but
	// those in which nothing was told. Empty: no metric of a daemon tells.
	Track []Stay
	// Decision is what a daemon would decide now, by the same rules, of what is
	// known here; nil: it could not be told.
	Decision *decide.Decision
	// Gates of the effective stop as of now, and Lasted for how long each gave
	// which verdict since Since.
	Gates  gates.Results
	Lasted []Lasted
	// Success are the plan's criteria as of now.
	Success gates.Results
	// Signals of the plan since Since.
	Signals []Readings
	// Sides is what each side served since Since; nil: nothing counts it, for the
	// reason in NoSides.
	Sides   *Sides
	NoSides string
	// Counts are gauges and counters of entities, transforms and the like.
	Counts []Count
	// Notes say what is not known, or was taken for granted, in whole sentences.
	Notes []string
}

// Cause is what a revert of the daemon says of why it was made.
type Cause struct {
	Gates    []string
	Evidence []string
}

// Stay is a time at one stop. The daemon's metrics were read at steps: From is
// the first at which it was seen there, and To the first at which it was not.
type Stay struct {
	Stop     plan.Position
	From, To time.Time
}

// Lasted is for how long a gate gave each verdict.
type Lasted struct {
	Stop   plan.Position
	Effect plan.Effect
	Name   string
	Totals map[gates.Verdict]plan.Duration
}

// Readings of one signal, and those of as long a time before for comparison.
type Readings struct {
	Name string
	// Side that its query is about; empty: both or neither.
	Side   plan.Side
	Points []gates.Point
	Before []gates.Point
}

// Sides is what each side served.
type Sides struct {
	// From says who counted.
	From   string `json:"from"`
	Legacy Served `json:"legacy"`
	Modern Served `json:"modern"`
}

// Served by one side. What is nil is not known. Seconds are of whole requests.
type Served struct {
	Requests float64  `json:"requests"`
	Errors   *float64 `json:"errors,omitempty"` // answered 5xx
	P50      *float64 `json:"p50Seconds,omitempty"`
	P95      *float64 `json:"p95Seconds,omitempty"`
}

// Count is a number that the daemon keeps of entities, transforms and the like.
type Count struct {
	Name  string  `json:"name"` // of the metric, with its labels
	Value float64 `json:"value"`
	// Grew is by how much a counter grew since the report begins; nil for a
	// gauge.
	Grew *float64 `json:"grew,omitempty"`
}

// Report is what is told. Fields are an interface to programs.
type Report struct {
	Kind  string        `json:"kind"` // daily or final
	Plan  plan.Key      `json:"plan"`
	File  string        `json:"file"`
	Head  plan.Revision `json:"head"`
	Since time.Time     `json:"since"`
	At    time.Time     `json:"at"`
	// Declared is what the branch declares, Effective where the plan is.
	Declared  Declared  `json:"declared"`
	Effective Effective `json:"effective"`
	Suspended bool      `json:"suspended,omitempty"`
	// Next is the stop after the declared one; none at the last.
	Next plan.Position `json:"next,omitzero"`
	// Doing is the decision in words, Blocks what keeps the plan.
	Doing   string         `json:"doing,omitempty"`
	Blocks  []decide.Block `json:"blocks"`
	Sides   *Sides         `json:"sides"`
	NoSides string         `json:"noSides,omitempty"`
	// Changes of the branch, oldest first: in a daily report those since it
	// begins. Rollbacks are those among them.
	Changes   []Change   `json:"changes"`
	Rollbacks []Rollback `json:"rollbacks"`
	// Signals were read every so often: what lasted shorter may not be in them.
	Signals   []Signal      `json:"signals"`
	ReadEvery plan.Duration `json:"readEvery"`
	Gates     []Gate        `json:"gates"`
	Counts    []Count       `json:"counts"`
	// Stops of the whole way, in a final report.
	Stops    []Stop      `json:"stops,omitempty"`
	Success  []Criterion `json:"success"`
	SignOffs []SignOff   `json:"signOffs"`
	// Open is what stands against the migration's being done, in sentences; of a
	// final report alone.
	Open  []string `json:"open,omitempty"`
	Notes []string `json:"notes"`
}

// Declared is what the branch declares.
type Declared struct {
	Stop plan.Position `json:"stop"`
	// Index of the stop from 1, of so many.
	Index int `json:"index"`
	Of    int `json:"of"`
	// Commit, By and At are of the change that declared it, where that is known.
	Commit plan.Revision `json:"commit,omitempty"`
	By     string        `json:"by,omitempty"`
	At     time.Time     `json:"at,omitzero"`
}

// Effective is where the plan is.
type Effective struct {
	Stop plan.Position `json:"stop"`
	// Since is when it was first seen there; zero: not known.
	Since time.Time `json:"since,omitzero"`
	// Assumed: no metric of a daemon tells, and it is taken to be where it is
	// declared.
	Assumed bool `json:"assumed,omitempty"`
}

// Change of the branch that concerns the plan.
type Change struct {
	Commit  plan.Revision `json:"commit"`
	At      time.Time     `json:"at"`
	By      string        `json:"by"`
	What    string        `json:"what"`
	Subject string        `json:"subject"`
}

// Rollback is one that the daemon made in Git.
type Rollback struct {
	Commit   plan.Revision `json:"commit"`
	Undid    plan.Revision `json:"undid"`
	At       time.Time     `json:"at"`
	From     plan.Position `json:"from"`
	To       plan.Position `json:"to"`
	Gates    []string      `json:"gates,omitempty"`
	Evidence []string      `json:"evidence,omitempty"`
	// Again is whether its undoing was lifted: the change may be applied again.
	Again bool `json:"lifted,omitempty"`
}

// Signal over the time of the report. What is nil is not known.
type Signal struct {
	Name string    `json:"name"`
	Side plan.Side `json:"side,omitempty"`
	Now  *float64  `json:"now"`
	Min  *float64  `json:"min"`
	Mean *float64  `json:"mean"`
	Max  *float64  `json:"max"`
	// Before is the mean of as long a time before.
	Before *float64 `json:"meanBefore"`
	// Known is the share of the time in which it had a value, 0 to 1; Why it had
	// none at the end.
	Known float64 `json:"known"`
	Why   string  `json:"why,omitempty"`
}

// Gate of the effective stop.
type Gate struct {
	Stop    plan.Position `json:"stop"`
	Effect  plan.Effect   `json:"effect"`
	Name    string        `json:"name"`
	Expr    string        `json:"expr"`
	Verdict string        `json:"verdict"`
	Detail  string        `json:"detail,omitempty"`
	// True, False and Unknown are for how long since the report begins.
	True    plan.Duration `json:"true"`
	False   plan.Duration `json:"false"`
	Unknown plan.Duration `json:"unknown"`
}

// Stop of the itinerary.
type Stop struct {
	Stop plan.Position `json:"stop"`
	// Declared are the changes that declared it or one after it, oldest first: a
	// raise that passes a stop declares it as well.
	Declared []Change `json:"declared"`
	// Entered is when the plan was first seen there, and Stayed for how long in
	// all; zero where no metric tells.
	Entered time.Time     `json:"entered,omitzero"`
	Stayed  plan.Duration `json:"stayed"`
	// RolledBack is how often the daemon took the plan back from it.
	RolledBack int `json:"rolledBack"`
}

// Criterion of success.
type Criterion struct {
	Name    string        `json:"name"`
	Expr    string        `json:"expr"`
	Message string        `json:"message,omitempty"`
	Verdict gates.Verdict `json:"verdict"`
	Detail  string        `json:"detail,omitempty"`
}

// SignOff is one consent, or one that is missing.
type SignOff struct {
	Stop plan.Position `json:"stop"`
	// Role, or with an Item one of the stop's checklist.
	Role string `json:"role,omitempty"`
	Item string `json:"item,omitempty"`
	// By is the author of the commit that brought it; empty: it is missing.
	By     string        `json:"by,omitempty"`
	At     time.Time     `json:"at,omitzero"`
	Commit plan.Revision `json:"commit,omitempty"`
	// Why it does not count; empty where it does.
	Why  string `json:"why,omitempty"`
	Note string `json:"note,omitempty"`
}
