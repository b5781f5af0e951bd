package reconciler

import (
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/split"
)

// Status of one plan: what it is doing, why, and what it waits for. It is what
// the admin socket, the page and `changeover status` show.
type Status struct {
	Key plan.Key `json:"key"`
	// Source is the name of the watched branch, in a daemon that has several.
	Source    string          `json:"source,omitempty"`
	Path      string          `json:"path,omitempty"`
	Declared  plan.Position   `json:"declared"`
	Effective plan.Position   `json:"effective"`
	Since     time.Time       `json:"since,omitzero"`
	BakedAt   time.Time       `json:"bakedAt,omitzero"` // when the bake of the effective stop ends
	State     State           `json:"state"`
	Decision  decide.Decision `json:"decision"`
	Head      plan.Revision   `json:"head,omitempty"` // the branch's head
	Applied   plan.Revision   `json:"applied,omitempty"`
	Itinerary plan.Itinerary  `json:"itinerary,omitempty"`
	Observed  decide.Observed `json:"observed"`
	// Split is how requests were split in the newest interval; nil where the
	// stop splits none, or nobody counts them.
	Split *split.Report `json:"split,omitempty"`
	// Flags of the effective stop, in the order of the plan.
	Flags   []FlagStatus    `json:"flags,omitempty"`
	Gates   gates.Results   `json:"gates,omitempty"`
	Holds   []decide.HoldOf `json:"holds,omitempty"`
	Pending *decide.Pending `json:"pending,omitempty"`
	Move    *decide.Move    `json:"move,omitempty"`
	Halt    *decide.HaltOf  `json:"halt,omitempty"`
	// Blind is since when gates of the effective stop are not known, or nil.
	Blind *decide.Blindness `json:"blind,omitempty"`
	// Problems of the file at head, and warnings of approvals that do not count.
	Problems []plan.Problem `json:"problems,omitempty"`
	Error    string         `json:"error,omitempty"` // the last failed effect, while it lasts
	// Waiting is what the move under way waits for, or what the cluster has
	// yet to do; empty: nothing.
	Waiting string `json:"waiting,omitempty"`
	// Work is how far the long work of the move is, or of the stop.
	Work      []Progress `json:"work,omitempty"`
	CheckedAt time.Time  `json:"checkedAt"`
	GitReadAt time.Time  `json:"gitReadAt,omitzero"`
	GitError  string     `json:"gitError,omitempty"` // why the last reading of Git failed
	// Unverified: the branch's head is not taken up, as it is not signed as it
	// must be; GitError says why.
	Unverified bool `json:"unverified,omitempty"`
	// Shadow is what comparing answers has come to; nil where the stop compares
	// none, or nobody was asked yet.
	Shadow *ShadowReport `json:"shadow,omitempty"`
	// Changes are the newest commits on the branch that changed the plan, oldest
	// first, for the page.
	Changes []decide.Change `json:"-"`
	// Plan is the version that governs, for recorders that mirror it.
	Plan *plan.Plan `json:"-"`
}

// State is one word for the table of `changeover status`.
type State string

// The states.
const (
	StateSteady             State = "Steady"
	StateProgressing        State = "Progressing"
	StateWaiting            State = "Waiting"
	StateRollingBack        State = "RollingBack"
	StateRolledBackUnpushed State = "RolledBackUnpushed"
	StateQuarantined        State = "Quarantined"
	StateHalted             State = "Halted"
	StateSuspended          State = "Suspended"
	StateComplete           State = "Complete"
	StateInvalid            State = "Invalid"
	StateOrphaned           State = "Orphaned"
	StateDegraded           State = "Degraded"
)
