package decide

import "github.com/changeover-dev/changeover/plan"

// Refused says why an approval of the plan does not count for a raise; empty
// where it does. Raise.RolledBackAt must be set where the raise was rolled back.
func Refused(head plan.Version, raise Change, a Approval) string {
	s := &state{Input: Input{Head: head}}
	return s.refuses(raise, a)
}
