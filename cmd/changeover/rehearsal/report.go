package rehearsal

import (
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

// Report is what came of a rehearsal.
type Report struct {
	Plan plan.Key `json:"plan"`
	// Cluster is the API server that was asked; nil: none was, and nothing was
	// tried on one.
	Cluster *Server `json:"cluster,omitempty"`
	// Gateway is what moves the traffic: nginx, bridge or gatewayAPI; empty:
	// nothing does. Tested: an nginx has tested what it would be given.
	Gateway string `json:"gateway,omitempty"`
	Tested  bool   `json:"tested,omitempty"`
	// Stops are the stops in order, each compared with the one before; Back
	// those on the way back, compared with the one after.
	Stops []Stop `json:"stops"`
	Back  []Stop `json:"back"`
	// Findings are what stands in the way.
	Findings []Finding `json:"findings"`
}

// Server is an API server.
type Server struct {
	URL string `json:"url"`
	// Live is the stop that was last applied; none where nothing was.
	Live plan.Position `json:"live,omitzero"`
}

// Stop is what one stop brings, on the way from another.
type Stop struct {
	Stop plan.Position `json:"stop"`
	From plan.Position `json:"from,omitzero"`
	// Traffic is nil where the plan moves none, or it cannot be rendered;
	// Cluster where the phase leaves the cluster as it is, or likewise.
	Traffic *Traffic `json:"traffic,omitempty"`
	Cluster *Objects `json:"cluster,omitempty"`
	// DryRun and Breach are told on the way forward only. They would be the
	// same on the way back. DryRun is nil where nothing was tried.
	DryRun *DryRun `json:"dryRun,omitempty"`
	Breach *Breach `json:"breach,omitempty"`
}

// Traffic is what the gateway does, one rule a line; the first match wins.
type Traffic struct {
	Rules   []string `json:"rules"`
	Changed bool     `json:"changed"`
}

// Objects is what changes in the cluster.
type Objects struct {
	Created []render.ID `json:"created,omitempty"`
	Changed []Change    `json:"changed,omitempty"`
	Deleted []render.ID `json:"deleted,omitempty"`
	// Kept are objects that are not wanted any more, and stay.
	Kept []Reason `json:"kept,omitempty"`
	// First are brought back before the traffic returns to them.
	First     []render.ID `json:"broughtBackFirst,omitempty"`
	Unchanged int         `json:"unchanged"`
}

// Change is an object with the fields that differ.
type Change struct {
	Object render.ID `json:"object"`
	Fields []Field   `json:"fields"`
}

// Field is the path of a field, and for numbers the values. Others may be
// secret, or long.
type Field struct {
	Path string `json:"path"`
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
}

// Reason is an object with why something is so.
type Reason struct {
	Object render.ID `json:"object"`
	Why    string    `json:"why"`
}

// DryRun is what the API server says to the objects of a stop.
type DryRun struct {
	Accepted int      `json:"accepted"`
	Refused  []Reason `json:"refused,omitempty"`
	NotTried []Reason `json:"notTried,omitempty"`
}

// Breach is what a breached rollback gate does at a stop, where every stop was
// raised by a commit of its own.
type Breach struct {
	// Verb is none where the phase has no rollback gate.
	Verb    decide.Verb   `json:"verb,omitempty"`
	Target  plan.Position `json:"target,omitzero"`
	Reason  decide.Reason `json:"reason,omitempty"`
	Reverts int           `json:"reverts,omitempty"` // commits
	// Within is how long after the stop was entered; zero: always.
	Within plan.Duration `json:"within,omitempty"`
}

// Finding is one thing that stands in the way, at all of these stops; where At
// is empty, of the whole plan.
type Finding struct {
	At      []plan.Position `json:"at,omitempty"`
	Back    bool            `json:"back,omitempty"` // on the way back only
	About   string          `json:"about"`
	Message string          `json:"message"`
}

// find adds a finding. One that is there already gets one more stop.
func (r *Report) find(at plan.Position, back bool, about, message string) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.About == about && f.Message == message })
	switch {
	case i < 0:
		f := Finding{Back: back, About: about, Message: message}
		if !at.IsZero() {
			f.At = []plan.Position{at}
		}
		r.Findings = append(r.Findings, f)
	case !slices.Contains(r.Findings[i].At, at):
		r.Findings[i].At = append(r.Findings[i].At, at)
	}
}

// NotTried counts the objects that could not be tried at some stop.
func (r *Report) NotTried() int {
	seen := map[render.ID]bool{}
	for _, s := range r.Stops {
		if s.DryRun == nil {
			continue
		}
		for _, n := range s.DryRun.NotTried {
			seen[n.Object] = true
		}
	}
	return len(seen)
}
