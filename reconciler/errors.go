package reconciler

import (
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// ErrNoPlan: the plan is not in Git at the revision that was asked for.
var ErrNoPlan = errors.New("no such plan at this revision")

// ErrInvalidPlan: the plan's file is there at the revision, but it does not
// decode, does not validate, or the plan is declared twice.
var ErrInvalidPlan = errors.New("plan is not valid")

// ErrStandby: another daemon leads, and this one is ready to take over.
var ErrStandby = errors.New("this daemon stands by")

// ErrStarting: nothing is known yet.
var ErrStarting = errors.New("the daemon is starting")

// ErrUnread: the watched branch could not be read since the daemon started.
var ErrUnread = errors.New("git was not read yet")

// ErrMismatch is what a *MismatchError is: errors.Is(err, ErrMismatch).
var ErrMismatch = errors.New("revert does not lead to the expected position")

// MismatchError: undoing the commits does not give a plan that declares the
// position to which traffic goes back. Nothing was pushed.
type MismatchError struct {
	Want plan.Position
	Got  plan.Position // none where the result does not decode
	// Reason says more where the position alone does not tell, or is empty.
	Reason string
}

// Error names both positions.
func (e *MismatchError) Error() string {
	s := fmt.Sprintf("build revert: want position %q, but the reverted file declares %q", e.Want, e.Got)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is makes errors.Is(err, ErrMismatch) hold.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// RemoteKind classifies what went wrong with the Git remote.
type RemoteKind string

// The kinds. Race: the branch moved while we pushed. Refused: the remote's
// rules do not let us push to the branch. Auth: the credentials are missing,
// wrong or may not do this. Unreachable: no usable answer. NoOp: the remote
// said yes, but the branch does not hold what was pushed.
const (
	RemoteRace        RemoteKind = "Race"
	RemoteRefused     RemoteKind = "Refused"
	RemoteAuth        RemoteKind = "Auth"
	RemoteUnreachable RemoteKind = "Unreachable"
	RemoteNoOp        RemoteKind = "NoOp"
)

// RemoteError is a failed exchange with the Git remote. Its text never holds a
// secret.
type RemoteError struct {
	Kind RemoteKind
	Op   string // what failed: "fetch", "push", ...
	Text string
	// Cause is a context's error, or nil.
	Cause error
}

// Error starts with what failed.
func (e *RemoteError) Error() string { return e.Op + ": " + e.Text }

// Unwrap returns the context's error, if that was the cause.
func (e *RemoteError) Unwrap() error { return e.Cause }

// UnverifiedError: the head of the branch is not taken up, as it is not signed
// the way that it must be. What was last verified stays in force.
type UnverifiedError struct {
	Head   plan.Revision // of the branch
	Commit plan.Revision // that is at fault
	Held   plan.Revision // what stays in force; empty: nothing was ever verified
	Reason string        // what is wrong with the commit, in one clause
}

// Error names the commit and what is wrong with it.
func (e *UnverifiedError) Error() string {
	held := "nothing was verified before it"
	if e.Held != "" {
		held = "the last verified revision " + e.Held.Short() + " stays in force"
	}
	return fmt.Sprintf("the branch's head %s is not taken up: commit %s: %s; %s", e.Head.Short(), e.Commit.Short(), e.Reason, held)
}
