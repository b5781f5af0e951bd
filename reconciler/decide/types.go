package decide

import (
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Verb is what a decision does.
type Verb string

// The verbs.
const (
	Hold     Verb = "Hold"     // change nothing
	Apply    Verb = "Apply"    // bring changed content to the effective stop
	Advance  Verb = "Advance"  // move one stop forward, or enter the first
	Retreat  Verb = "Retreat"  // move back to what Git declares
	Rollback Verb = "Rollback" // move back and undo commits in Git
	Complete Verb = "Complete" // the last stop's advance gates pass
	Halt     Verb = "Halt"     // stop forward moves until a person acts, and page
)

// Backward reports whether the verb takes a plan back.
func (v Verb) Backward() bool { return v == Retreat || v == Rollback }

// Moves reports whether the verb changes what was applied.
func (v Verb) Moves() bool { return v == Advance || v == Apply || v.Backward() }

// Reason is why, as one stable PascalCase word: it is API.
type Reason string

// The reasons, in the order of the truth table.
const (
	Suspended        Reason = "Suspended"
	Orphaned         Reason = "Orphaned"
	Invalid          Reason = "Invalid"
	Lowered          Reason = "Lowered"
	Resuming         Reason = "Resuming"
	Breach           Reason = "Breach"
	Requested        Reason = "Requested" // a rollback that a person asked for
	BreachFrozen     Reason = "BreachFrozen"
	DependencyLost   Reason = "DependencyLost"
	VerifyFailed     Reason = "VerifyFailed"
	NothingToUndo    Reason = "NothingToUndo"
	RevertMismatch   Reason = "RevertMismatch"
	HistoryRewritten Reason = "HistoryRewritten"
	StateMismatch    Reason = "StateMismatch"
	Quarantined      Reason = "Quarantined"
	OffItinerary     Reason = "OffItinerary"
	GatewayChanged   Reason = "GatewayChanged"
	ContentChanged   Reason = "ContentChanged"
	Completed        Reason = "Completed"
	Steady           Reason = "Steady"
	Halted           Reason = "Halted"
	TooManyRollbacks Reason = "TooManyRollbacks"
	GitStale         Reason = "GitStale"
	Verifying        Reason = "Verifying"
	Unmet            Reason = "RequirementUnmet"
	DependencyUnmet  Reason = "DependencyUnmet"
	Conflict         Reason = "Conflict"
	OutsideWindow    Reason = "OutsideWindow"
	NotBefore        Reason = "NotBefore"
	Manual           Reason = "Manual"
	ApprovalMissing  Reason = "ApprovalMissing"
	ChecklistOpen    Reason = "ChecklistOpen"
	Cooldown         Reason = "Cooldown"
	Baking           Reason = "Baking"
	Paused           Reason = "Paused"
	GateFailed       Reason = "GateFailed"
	GateNoData       Reason = "GateNoData"
	GateError        Reason = "GateError"
	Breaching        Reason = "Breaching"
	NotHealthy       Reason = "NotHealthy"
	SplitMismatch    Reason = "SplitMismatch" // in the history too
	TakingBack       Reason = "TakingBack"
	GatesPassed      Reason = "GatesPassed"
	Entering         Reason = "Entering"
	Proposed         Reason = "Proposed"   // in the history: promotion: auto
	Unverified       Reason = "Unverified" // in the history: the branch's head is not signed as it must be
	Blind            Reason = "Blind"      // in the history: gates were not known for too long
	DataKnown        Reason = "DataKnown"
	SplitMatches     Reason = "SplitMatches" // in the history: the split is as declared again
)

// Input is everything that a decision reads.
type Input struct {
	// Head is the newest valid version of the plan on the branch; zero where
	// there never was one.
	Head plan.Version
	// Applied is the version as last applied; it differs from Head while a
	// change is under way, held or blocked. Zero before the first.
	Applied plan.Version
	// Good is the version that Record.Good names; zero where there is none.
	Good   plan.Version
	Record Record
	Git    Git
	// Observed is what was read back from cluster and gateway.
	Observed Observed
	// Unmet is what the cluster does not offer of what the plan requires. It
	// is asked for at the first stop only.
	Unmet []string
	// Others are the connected plans that are there, by key.
	Others map[plan.Key]Other
	// Approvals of this plan on the branch.
	Approvals []Approval
	// Unread says why they could not be read; empty where they were. There are
	// none then, and gates that read them have no data.
	Unread string
	// Verdicts of the gates that Wants names.
	Verdicts gates.Results
	// Due are the newest values of the baselines that are remembered when the
	// effective stop is left, by name; one that is not there is unknown.
	Due    map[string]gates.Point
	Limits Limits
	Now    time.Time
}

// Git is what is known of the branch.
type Git struct {
	// ReadAt is when the branch was last read with success.
	ReadAt time.Time
	// Invalid says why the plan at the branch's head is not Head: it does
	// not decode or validate. Empty where it does.
	Invalid string
	// Gone: the plan is not in the branch's head any more.
	Gone bool
}

// Limits are the daemon's own bounds.
type Limits struct {
	GitMaxAge time.Duration // forward moves need a reading of Git younger than this
	Cooldown  time.Duration // after a hold is lifted
	MaxPerDay int           // automatic rollbacks in 24 h before forward moves stop
	// NoDataAlert is how long a gate of the effective stop may be without data
	// until a person is told.
	NoDataAlert time.Duration
}

// Observed is what was read back from the data plane.
type Observed struct {
	Cluster Part // Known is false where the plan has no cluster config
	Gateway Part // Known is false where the plan has no gateway
	// Split says how the requests are not split as the effective stop declares;
	// empty where they are, or where that is not known.
	Split string `json:"split,omitempty"`
}

// Part is one half of what was observed.
type Part struct {
	Known   bool          `json:"known"`
	Stop    plan.Position `json:"stop"`    // the position it is at; none where that cannot be told
	Healthy bool          `json:"healthy"` // serves that position as rendered, or is ready
	// Drifted: it is not as it was applied, or has yet to follow.
	Drifted bool   `json:"drifted,omitempty"`
	Message string `json:"message,omitempty"`
}

// Ill reports whether the part is known not to be as it should.
func (p Part) Ill() bool { return p.Known && (!p.Healthy || p.Drifted) }

// Decision is what the pure core says to do. It is data only: the caller
// journals it, carries it out and reports it.
type Decision struct {
	Verb   Verb          `json:"verb"`
	Target plan.Position `json:"target"`
	// Revision names the version of the plan whose content is applied.
	Revision plan.Revision `json:"revision,omitempty"`
	// Undo, for Rollback: the commits to revert, newest first.
	Undo   []plan.Revision `json:"undo,omitempty"`
	Reason Reason          `json:"reason"`
	// Message is for people; it holds no clock and no map order.
	Message string `json:"message"`
	// Blocks are all that keeps the plan from going forward, or at the last
	// stop from being complete, in the order of the truth table. Empty where
	// nothing does but the declared position.
	Blocks []Block `json:"blocks,omitempty"`
	// Next is the stop that would be entered next; none at the declared one,
	// and where the plan goes backward or only another commit tells.
	Next plan.Position `json:"next,omitzero"`
	// Propose is the next stop, where the plan wants it to be proposed now:
	// promotion is auto, and nothing keeps it but the declared position.
	Propose plan.Position `json:"propose,omitzero"`
	// RecheckAt is when the answer could change without new input; zero:
	// never.
	RecheckAt time.Time `json:"recheckAt,omitzero"`
	// Evidence, for Rollback and a Halt by breach: the gates that breached.
	Evidence gates.Results `json:"evidence,omitempty"`
}

// Record is what is remembered of a plan between decisions. It is rebuilt from
// Git and the data plane when it is lost.
type Record struct {
	// Applied is what the world was last brought to; nil: nothing yet.
	Applied *Applied `json:"applied,omitempty"`
	// Good is the last pair that finished its bake without a breach.
	Good *Good `json:"good,omitempty"`
	// Move under way, or nil.
	Move *Move `json:"move,omitempty"`
	// Seen is the newest revision whose commits are in Changes.
	Seen plan.Revision `json:"seen,omitempty"`
	// Valid is the newest change at which the plan decodes and validates.
	Valid plan.Revision `json:"valid,omitempty"`
	// Changes are the first-parent commits on the branch that changed this
	// plan's position or content, oldest first.
	Changes []Change `json:"changes,omitempty"`
	Holds   []HoldOf `json:"holds,omitempty"`
	// Pending is a revert that is not yet on the remote, or nil.
	Pending *Pending `json:"pending,omitempty"`
	// Halt blocks forward moves until a person acts, or nil.
	Halt *HaltOf `json:"halt,omitempty"`
	// Behind is what a backward move left in data and is yet to be taken back,
	// or nil. It is not rebuilt where the record was lost.
	Behind *Behind `json:"behind,omitempty"`
	// Verify is the rollback whose outcome is being watched, or nil.
	Verify *Verification `json:"verify,omitempty"`
	// Blind is that gates of the effective stop are not known, or nil.
	Blind *Blindness `json:"blind,omitempty"`
	// Rollbacks are the times of automatic rollbacks, oldest first.
	Rollbacks []time.Time `json:"rollbacks,omitempty"`
	// Baselines by their names in the plan, as of when their stops were last
	// left forward. A record that was rebuilt has none.
	Baselines map[string]Baseline `json:"baselines,omitempty"`
	// Serial counts how often the record was saved: of two copies the one
	// with the higher is newer.
	Serial int64 `json:"serial,omitempty"`
	// LiftedAt is when a hold was last lifted by a person.
	LiftedAt time.Time `json:"liftedAt,omitzero"`
	// CompletedAt is when the last stop's advance gates first passed. It is
	// forgotten when the plan goes back; where Applied.Since is later, what is
	// applied now has yet to prove itself.
	CompletedAt time.Time `json:"completedAt,omitzero"`
}

// Applied is what the world was last brought to.
type Applied struct {
	Revision plan.Revision `json:"revision"`
	Content  plan.Digest   `json:"content"`
	Live     plan.Digest   `json:"live"`
	Stop     plan.Position `json:"stop"`
	// Since is when the stop was entered, or when live content last changed
	// at it: the bake counts from here.
	Since time.Time `json:"since"`
	// ContentSince is when this content was first applied, quiet changes
	// included: until it has baked, the alarms of the good content count too.
	ContentSince time.Time `json:"contentSince"`
	// PhaseSince is when the phase was entered.
	PhaseSince time.Time `json:"phaseSince"`
	// Backward: the stop was entered by a backward move.
	Backward bool `json:"backward,omitempty"`
}

// Good is a revision and the stop at which it finished its bake.
type Good struct {
	Revision plan.Revision `json:"revision"`
	Stop     plan.Position `json:"stop"`
}

// Step of a move. A forward move goes Expand, Health, Traffic, Contract; a
// backward one Prepare, Traffic: it is done when the traffic is, and the
// cluster follows what was applied. Traffic is done when it was observed.
type Step string

// The steps.
const (
	StepPrepare  Step = "Prepare"
	StepExpand   Step = "Expand"
	StepHealth   Step = "Health"
	StepTraffic  Step = "Traffic"
	StepContract Step = "Contract"
)

// Move is a change of the world that was begun.
type Move struct {
	Verb Verb          `json:"verb"` // Apply, Advance, Retreat or Rollback
	From plan.Position `json:"from"`
	To   plan.Position `json:"to"`
	// Revision is the version of the plan that the move applies.
	Revision plan.Revision `json:"revision"`
	Content  plan.Digest   `json:"content"`
	Live     plan.Digest   `json:"live"`
	// Leaves is, in a backward move, the version of the forward move that it
	// broke off; empty where it did none.
	Leaves  plan.Revision `json:"leaves,omitempty"`
	Step    Step          `json:"step"`
	Started time.Time     `json:"started"`
	// Attempts at this step that failed, and the last error.
	Attempts int    `json:"attempts,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Behind is the work of phases that a backward move left: a backup to restore,
// objects to remove.
type Behind struct {
	// From is the furthest stop that was left.
	From plan.Position `json:"from"`
	// Revision is the version of the plan by which the work was done.
	Revision plan.Revision `json:"revision"`
	Since    time.Time     `json:"since"`
}

// Change is one first-parent commit that changed the plan.
type Change struct {
	Commit plan.Revision `json:"commit"`
	// Parent is its first parent.
	Parent plan.Revision `json:"parent,omitempty"`
	// From and To are the declared positions before and after; From is none
	// in the commit that adds the plan.
	From plan.Position `json:"from"`
	To   plan.Position `json:"to"`
	// Raise: it moved the declared position forward. Lower: backward.
	Raise bool `json:"raise,omitempty"`
	Lower bool `json:"lower,omitempty"`
	// Content and Live: it changed the content, and that was live.
	Content bool `json:"content,omitempty"`
	Live    bool `json:"live,omitempty"`
	// RollbackOf is set in the daemon's own reverts, from the trailer
	// Changeover-Rollback-Of.
	RollbackOf plan.Revision `json:"rollbackOf,omitempty"`
	// RolledBackAt is when the daemon rolled the commit back: consent that was
	// given to it before is void, also where its hold was lifted.
	RolledBackAt time.Time `json:"rolledBackAt,omitzero"`
	// Reverts names the commit that a person's git revert says it reverts.
	Reverts plan.Revision `json:"reverts,omitempty"`
	// Unhold and Resume are set from the trailers Changeover-Unhold and
	// Changeover-Resume.
	Unhold  plan.Revision `json:"unhold,omitempty"`
	Resume  bool          `json:"resume,omitempty"`
	Subject string        `json:"subject,omitempty"`
	// Author is the e-mail address of the commit's author, in lower case.
	Author string    `json:"author,omitempty"`
	At     time.Time `json:"at"` // the commit's own time: for people only
}

// HoldOf is the record that a raise or a content commit was rolled back.
type HoldOf struct {
	Commit   plan.Revision `json:"commit"`
	At       time.Time     `json:"at"`
	Evidence gates.Results `json:"evidence,omitempty"`
}

// Pending is a revert that is not yet on the remote.
type Pending struct {
	Undo   []plan.Revision `json:"undo"` // newest first
	From   plan.Position   `json:"from"`
	Target plan.Position   `json:"target"`
	Reason Reason          `json:"reason"` // Breach or Requested
	// Message is the decision's, for the commits.
	Message  string        `json:"message"`
	Evidence gates.Results `json:"evidence,omitempty"`
	At       time.Time     `json:"at"`
	Attempts int           `json:"attempts,omitempty"`
	Error    string        `json:"error,omitempty"`
	// Branch is set once the push to the watched branch was refused and the
	// revert was pushed to this branch instead.
	Branch string `json:"branch,omitempty"`
}

// HaltOf is a halt that holds until a person acts.
type HaltOf struct {
	Reason  Reason    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	// Head is the branch's head when it halted: a person's later commit ends
	// it.
	Head plan.Revision `json:"head,omitempty"`
}
