package review

import (
	"io/fs"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Tree is the repository at one revision, or as it lies in a folder.
type Tree struct {
	// Name is what people call it: main, HEAD, the working tree.
	Name     string
	Revision plan.Revision // empty where it is no commit
	// Plans are all below the watched folder: what one hangs on may be in
	// another.
	Plans []File
	// Files is the whole repository, for the kustomizations.
	Files fs.FS
}

// File is a plan's file. It has the fields of reconciler.PlanFile, so that one
// converts to the other.
type File struct {
	// Version has a best-effort Plan where there are Problems; its key may
	// then be empty.
	Version  plan.Version
	Document *plan.Document
	Problems []plan.Problem
}

// Options of Build.
type Options struct {
	// Now is when the plans' windows are judged.
	Now time.Time
	// Check finds what decoding alone cannot: expressions, queries, and what a
	// gateway cannot do. Nil: nothing.
	Check func(*plan.Document) []plan.Problem
	// Gates evaluates gates of a plan as of now. Nil: they are listed without a
	// verdict.
	Gates func(*plan.Plan, []gates.Request) (gates.Results, error)
}

// Review is what a change would do. Its JSON is API.
type Review struct {
	Base Side `json:"base"`
	Head Side `json:"head"`
	// Legal is false where one of the plans has something in Illegal.
	Legal bool `json:"legal"`
	// Evaluated says whether gates were evaluated.
	Evaluated bool `json:"evaluated"`
	// Plans that the change is about, by namespace and name. Never null.
	Plans []Plan `json:"plans"`
	// Unchanged is how many plans of the head it is not about.
	Unchanged int `json:"unchanged"`
}

// Side names one of the two trees.
type Side struct {
	Name     string        `json:"name"`
	Revision plan.Revision `json:"revision,omitempty"`
}

// Kind is what a change is for a plan, in one word.
type Kind string

// The kinds. The first that fits is taken: a raise may change content too.
const (
	Invalid   Kind = "invalid"   // the head does not validate
	New       Kind = "new"       // there was no such plan
	Removed   Kind = "removed"   // there is none any more
	Raise     Kind = "raise"     // the declared position goes forward
	Lower     Kind = "lower"     // it goes back
	Elsewhere Kind = "elsewhere" // it goes to another itinerary, on which it was not
	Content   Kind = "content"   // it stays, and something else changed
	Suspend   Kind = "suspend"   // only spec.suspend changed
	Cascade   Kind = "cascade"   // nothing of it changed, but of a plan that it depends on
)

// Plan is what the change does to one plan.
type Plan struct {
	Key  plan.Key `json:"key"`
	Kind Kind     `json:"kind"`
	// File at the head; at the base where the plan is removed. MovedFrom is
	// where it was, if that was elsewhere.
	File      string `json:"file"`
	MovedFrom string `json:"movedFrom,omitempty"`
	// From and To are the declared positions; none where there is no plan.
	From plan.Position `json:"from,omitzero"`
	To   plan.Position `json:"to,omitzero"`
	// Suspended at the head.
	Suspended bool `json:"suspended,omitempty"`
	// Way are the stops that would be entered, in their order. Later are those
	// of the itinerary that come after To.
	Way   []Stop `json:"way,omitempty"`
	Later []Stop `json:"later,omitempty"`
	// Breach says what a rollback gate that breaches at To, before it has
	// baked, would undo. Empty where the plan does not go forward.
	Breach string `json:"breach,omitempty"`
	// Fields that changed beside the position, and whether any of the change is
	// live: of routes, backends, gateway or cluster. Reads: files that the plan
	// reads beside its own changed.
	Fields []string `json:"fields,omitempty"`
	Live   bool     `json:"live,omitempty"`
	Reads  bool     `json:"reads,omitempty"`
	// Does is what the daemon would do first, as far as Git tells.
	Does Decision `json:"does,omitzero"`
	// Illegal is what the daemon would refuse, or would hold for ever.
	Illegal []Finding `json:"illegal,omitempty"`
	// Holds keep the plan on its way, beside the gates.
	Holds []Hold `json:"holds,omitempty"`
	// Gates that decide on the way, and then at To.
	Gates []Gate `json:"gates,omitempty"`
	// GatesError says why they could not be evaluated.
	GatesError string `json:"gatesError,omitempty"`
	// Problems of the head that the base has not; all where the head does not
	// validate.
	Problems []plan.Problem `json:"problems,omitempty"`
	// Gateway and Cluster are what is rendered at From and at To, compared.
	Gateway []Diff `json:"gateway,omitempty"`
	Cluster []Diff `json:"cluster,omitempty"`
	// Notes for people.
	Notes []string `json:"notes,omitempty"`
}

// Decision is the part of decide.Decision that Git alone tells.
type Decision struct {
	Verb    decide.Verb   `json:"verb"`
	Reason  decide.Reason `json:"reason"`
	Message string        `json:"message"`
}

// Stop is a stop of the itinerary and what its phase asks before it is entered.
type Stop struct {
	Position plan.Position `json:"position"`
	// Bake is the least time at the stop, as in the plan; empty: none.
	Bake      string              `json:"bake,omitempty"`
	NotBefore time.Time           `json:"notBefore,omitzero"`
	Manual    bool                `json:"manual,omitempty"`
	Approvals []plan.ApprovalRule `json:"approvals,omitempty"`
	Checklist []string            `json:"checklist,omitempty"`
}

// Finding is one reason why a change is illegal.
type Finding struct {
	Code    string `json:"code"` // stable, kebab-case
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Hold is one thing that keeps a plan.
type Hold struct {
	Reason decide.Reason `json:"reason"`
	// Stop that is not entered; none where it is the plan as a whole.
	Stop    plan.Position `json:"stop,omitzero"`
	Message string        `json:"message"`
}

// NotEvaluated is the verdict of a gate that was only listed.
const NotEvaluated gates.Verdict = "NotEvaluated"

// Gate is a gate of a phase, for the stops of that phase at which it decides.
type Gate struct {
	Stops  []plan.Position `json:"stops"`
	Effect plan.Effect     `json:"effect"`
	Name   string          `json:"name"`
	Expr   string          `json:"expr"`
	For    string          `json:"for,omitempty"`
	// Verdict as of now at the first of the stops, and Detail the values.
	Verdict gates.Verdict `json:"verdict"`
	Detail  string        `json:"detail,omitempty"`
}

// Diff is one file or object that is rendered, before and after.
type Diff struct {
	Name string `json:"name"`
	// Change is added, changed, removed, or kept: it is not wanted any more,
	// and stays as the phase does not prune.
	Change string `json:"change"`
	// Text is a unified diff without its heading. Values of Secrets are hidden
	// in it.
	Text string `json:"text"`
	// Plus and Minus count its lines.
	Plus  int `json:"plus"`
	Minus int `json:"minus"`
}

// The values of Diff.Change.
const (
	Added   = "added"
	Changed = "changed"
	Gone    = "removed"
	Kept    = "kept"
)
