package decide

import "github.com/changeover-dev/changeover/gates"

// Facts is what gates know beside signals and objects: the caller reads these
// and adds the objects. Baselines are those that Head declares; for the gates of
// another version see Remembered.
func (in Input) Facts() gates.Facts {
	f := gates.Facts{Health: gates.Health{
		Cluster: !in.Observed.Cluster.Known || in.Observed.Cluster.Healthy,
		Gateway: !in.Observed.Gateway.Known || in.Observed.Gateway.Healthy,
	}}
	if !in.Head.IsZero() {
		f.Declared = in.Head.Plan.Spec.Position
		f.Baselines = in.Record.Remembered(in.Head.Plan)
	}
	if a := in.Record.Applied; a != nil {
		f.Position, f.StopSince, f.PhaseSince = a.Stop, a.Since, a.PhaseSince
	}
	return f
}
