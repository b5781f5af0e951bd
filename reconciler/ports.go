package reconciler

import (
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/split"
	"github.com/changeover-dev/changeover/render"
)

// Source is the watched branch. Every method has the deadline of its context.
// Methods that take a revision read the local store only and work while the
// remote is gone; Poll and Push talk to the remote. It is called from several
// goroutines.
type Source interface {
	// Poll reads the remote's head and fetches what is new. It returns the
	// head; an error means that the remote could not be read.
	Poll(ctx context.Context) (plan.Revision, error)
	// Plans returns every MigrationPlan below the watched path at a revision,
	// decoded, sorted by path. Content that does not decode has Problems.
	Plans(ctx context.Context, rev plan.Revision) ([]PlanFile, error)
	// Version returns one plan as it stands at a revision; ErrNoPlan where it
	// is not there.
	Version(ctx context.Context, key plan.Key, rev plan.Revision) (plan.Version, error)
	// Changes lists the first-parent commits after since, up to until, that
	// changed the plan's position or content or carry a Changeover trailer
	// for it, oldest first. An empty since lists them all. Revisions at which
	// the plan does not decode count as no change; the next one that decodes
	// is compared with the last that did.
	Changes(ctx context.Context, key plan.Key, since, until plan.Revision) ([]decide.Change, error)
	// Contains reports whether old is head or an ancestor of it. An unknown
	// old is not.
	Contains(ctx context.Context, head, old plan.Revision) (bool, error)
	// Propose puts a commit that declares the position for the plan on a
	// branch of its own at the remote, and returns that branch's name. Nothing
	// is pushed where it has such a commit already.
	Propose(ctx context.Context, key plan.Key, to plan.Position, message string) (branch string, err error)
	// Approvals are those of a plan at a revision, sorted by file. Files in
	// their folder that are none are left out, and the problems tell why: as
	// warnings, for they stop nothing.
	Approvals(ctx context.Context, key plan.Key, rev plan.Revision) ([]decide.Approval, []plan.Problem, error)
	// Files are those of the repository at a revision, whole and read-only.
	// It is an fs.ReadLinkFS; submodules are empty folders.
	Files(ctx context.Context, rev plan.Revision) (fs.FS, error)
	// Push builds the undos as revert commits on the remote's head, one after
	// the other, and pushes all of them at once with compare-and-swap,
	// recomputing after a lost race. It answers for each undo.
	Push(ctx context.Context, us []Undo) ([]Pushed, error)
}

// PlanFile is one MigrationPlan document of a revision.
type PlanFile struct {
	// Version has a best-effort Plan where there are Problems; its Key may
	// then be empty.
	Version  plan.Version
	Document *plan.Document
	// Problems of the plan's file, and of the kustomizations that it names.
	Problems []plan.Problem
}

// Undo asks for commits to be reverted for one plan.
type Undo struct {
	Key     plan.Key
	Commits []plan.Revision // newest first
	From    plan.Position
	Target  plan.Position // what the result must declare
	Message string        // why, with values; the body of each revert
	Gates   []string      // names of the breached gates; trailer Changeover-Gate
	// Evidence, one line; trailer Changeover-Evidence.
	Evidence string
	// Good is the revision from which the plan's file is restored whole when
	// it does not parse at head.
	Good plan.Revision
	At   time.Time // of the commits
}

// Pushed is what became of an Undo.
type Pushed struct {
	Outcome PushOutcome
	Head    plan.Revision   // the branch's head afterwards
	Commits []plan.Revision // the reverts made, newest first
	Branch  string          // for PushedBranch: where they are
	Notes   []string        // paths left alone, conflicts; for people
	// Err is why this undo could not be built, a *MismatchError, or nil: the
	// others of the push are on the branch all the same.
	Err error
}

// PushOutcome classifies a push that did not fail.
type PushOutcome string

// The outcomes. PushedHead: the reverts are on the branch. PushedNothing: the
// branch already declares the target or less, no commit was needed.
// PushedBranch: the branch refused them; they are on a branch of their own.
const (
	PushedHead    PushOutcome = "Pushed"
	PushedNothing PushOutcome = "NothingToDo"
	PushedBranch  PushOutcome = "Branch"
)

// Mark is written into the traffic config, so that a lost record can be
// rebuilt from the data plane. Since, Revision and Holds do not count for the
// config's hash.
type Mark struct {
	Key      plan.Key        `json:"key"`
	Stop     plan.Position   `json:"stop"`
	Since    time.Time       `json:"since"`
	Revision plan.Revision   `json:"revision"`
	Holds    []plan.Revision `json:"holds,omitempty"`
}

// same reports whether two marks say the same; a nil one says nothing.
func (m *Mark) same(o Mark) bool {
	return m != nil && m.Stop == o.Stop && m.Since.Equal(o.Since) && m.Revision == o.Revision && slices.Equal(m.Holds, o.Holds)
}

// Traffic is one gateway. It is called from several goroutines, for one plan
// by one at a time.
type Traffic interface {
	// Apply brings the gateway to m.Stop of the plan and returns when the
	// data plane was seen to serve it everywhere. It changes nothing where it
	// already does (a Mark that differs in Holds, Since or Revision alone is
	// written without a reload). On an error the old config is in force, but
	// where the new one was taken and only not seen everywhere, as when a
	// replica is silent: it stays, so that the replica finds it.
	Apply(ctx context.Context, p *plan.Plan, m Mark) error
	// Observe reads back what the data plane serves for the plan, and
	// compares it with the render of stop. It changes nothing.
	Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (TrafficState, error)
}

// Retreater is a gateway of several parts, one of which waits for another on the
// way forward.
type Retreater interface {
	// Retreat is Apply for a move back, and for what is applied already: no part
	// waits for another, nor for one that fails.
	Retreat(ctx context.Context, p *plan.Plan, m Mark) error
}

// Splitter is a gateway that counts how it splits requests between the sides.
type Splitter interface {
	// Split returns what was counted for the split routes of a stop since the
	// data plane serves it. What could be read is returned with an error that
	// names who could not.
	Split(ctx context.Context, p *plan.Plan, stop plan.Position) ([]split.Reading, error)
}

// Teller is a gateway that knows what gates ask of bridges.
type Teller interface {
	// Tell reads it from every replica. What not all of them tell is nil, with
	// the reason why.
	Tell(ctx context.Context, p *plan.Plan, now time.Time) gates.Bridges
}

// Owning is a gateway that knows of the entities of a plan who owns them.
type Owning interface {
	// ModernOwns reports whether modern owns any entity of the plan that is
	// applied. It fails where not every part that should know says so.
	ModernOwns(ctx context.Context, p *plan.Plan) (bool, error)
}

// TrafficState is what a gateway was seen to serve.
type TrafficState struct {
	// Mark as it stands in the written config; nil where there is none.
	Mark *Mark
	// Serving: the written config is the render of the stop that was asked
	// for, and the data plane serves it everywhere.
	Serving bool
	Hash    string // of the config that is served
	Message string // what differs, for people; no clock
}

// Desired is what a stop of a plan wants in the cluster.
type Desired struct {
	Mark Mark
	// Objects in the order of the kustomization; never empty.
	Objects []render.Object
	// Prune: what an earlier stop applied and this one has not is deleted,
	// but nothing where that would be more than MaxPrune objects.
	Prune    bool
	MaxPrune int
	// Account of the plan's namespace as which the cluster is read and
	// written; empty: the daemon's own.
	Account string
}

// Cluster is the Kubernetes side. It is called from several goroutines, for one
// plan by one at a time. Its errors name objects as KIND NAMESPACE/NAME, say
// what to do, and never hold the data of a Secret.
type Cluster interface {
	// Expand applies what the stop adds, changes or raises; nothing is taken
	// away: no replicas are lowered and nothing is deleted. What it will
	// have applied is written to the inventory first. It goes on past an
	// object that fails, but not to the next stage, and returns all errors.
	Expand(ctx context.Context, d Desired) error
	// Healthy reports whether the objects are live and ready, and if not,
	// which is not, and why. Objects that nothing waits for are not read.
	Healthy(ctx context.Context, d Desired) (bool, string, error)
	// Contract lowers replicas and deletes what the stop does not want any
	// more. Everything must have been applied and be healthy.
	Contract(ctx context.Context, d Desired) error
	// Observe compares the live objects with what is desired. It changes
	// nothing.
	Observe(ctx context.Context, d Desired) (ClusterState, error)
	// Mark is that of what was last applied for the plan; nil where nothing
	// was, or what was is gone.
	Mark(ctx context.Context, key plan.Key) (*Mark, error)
	// SetMark writes the mark of d to the inventory, and nothing else.
	SetMark(ctx context.Context, d Desired) error
	// Read returns live objects as the plan's account sees them. One that is
	// not there has no Value and no Err.
	Read(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object
	// Unmet lists what the cluster does not offer of what a plan requires.
	Unmet(ctx context.Context, p *plan.Plan) ([]string, error)
}

// ClusterState is how the live objects of a plan stand.
type ClusterState struct {
	// InSync: every object is live as desired, and nothing is left to lower
	// or to delete.
	InSync bool
	// Healthy: the objects are ready.
	Healthy bool
	// Mark as it stands in the inventory; nil where there is none.
	Mark *Mark
	// Message says what differs, what is not ready, or what was left alone;
	// for people, without a clock.
	Message string
}

// Sampler asks signals. It answers every need, those that could not be asked
// with an error in the sample.
type Sampler interface {
	Sample(ctx context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample
}

// Recorder keeps records durably.
type Recorder interface {
	// Keys lists the plans that have a record, sorted.
	Keys(ctx context.Context) ([]plan.Key, error)
	// Load returns the record; ok is false where there is none. A damaged
	// record is an error, never an empty one.
	Load(ctx context.Context, key plan.Key) (rec decide.Record, ok bool, err error)
	// Save replaces the record. When it returns, the record survives a crash.
	Save(ctx context.Context, key plan.Key, rec decide.Record) error
	// Append adds to the plan's history, which is bounded.
	Append(ctx context.Context, key plan.Key, e Entry) error
	// History returns the newest n entries, oldest first.
	History(ctx context.Context, key plan.Key, n int) ([]Entry, error)
	// SaveStatus keeps the status for those who ask while no daemon runs.
	SaveStatus(ctx context.Context, s Status) error
	// LoadStatus returns it; ok is false where there is none.
	LoadStatus(ctx context.Context, key plan.Key) (s Status, ok bool, err error)
}

// Entry is one line of a plan's history.
type Entry struct {
	At      time.Time     `json:"at"`
	Verb    decide.Verb   `json:"verb"`
	Reason  decide.Reason `json:"reason"`
	From    plan.Position `json:"from"`
	To      plan.Position `json:"to"`
	Message string        `json:"message"`
	// Commits that the entry made or undid.
	Commits  []plan.Revision `json:"commits,omitempty"`
	Evidence gates.Results   `json:"evidence,omitempty"`
	// Plan is the version that governed, for notifiers; nil where none did yet.
	Plan *plan.Plan `json:"-"`
}

// Notifier tells people. It must not block: delivery is its own affair.
type Notifier interface {
	Notify(ctx context.Context, key plan.Key, e Entry, page bool)
}

// PullRequests opens pull requests for branches that wait to be merged. It must
// not block. The same is asked for again and again, after a restart too: it
// opens one, and none where a person closed it.
type PullRequests interface {
	Open(p PullRequest)
}

// PullRequest is one to be opened, against the watched branch.
type PullRequest struct {
	Key    plan.Key
	Branch string
	Title  string
	Body   string
}
