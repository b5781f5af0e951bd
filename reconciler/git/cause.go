package git

import "github.com/changeover-dev/changeover/plan"

// Cause is what a revert of the daemon's says of why it was made: the gates and
// what they read, by its trailers. Both are empty where it does not say.
func (r *Repository) Cause(rev plan.Revision) (gates, evidence []string, err error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return nil, nil, err
	}
	m := parseMessage(c.message)
	return m.all(trailerGate), m.all(trailerEvidence), nil
}
