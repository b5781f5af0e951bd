package decide

import "github.com/changeover-dev/changeover/plan"

// left is the version by which a forward move that is broken off may have done
// its work; a backward one hands on what it broke off itself.
func (m *Move) left() plan.Revision {
	switch {
	case m == nil:
		return ""
	case backward(m):
		return m.Leaves
	}
	return m.Revision
}

// LeftBehind takes in what a backward move left in data. Where an earlier one's
// is not taken back yet, it stays: its stop was the further one.
func (r Record) LeftBehind(b Behind) Record {
	r = r.Clone()
	if r.Behind == nil {
		r.Behind = &b
	}
	return r
}

// TookBack takes in that it was.
func (r Record) TookBack() Record {
	r = r.Clone()
	r.Behind = nil
	return r
}
