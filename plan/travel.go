package plan

// Promotion is who proposes the next stop.
type Promotion string

// The promotions.
const (
	PromotionManual Promotion = "manual"
	PromotionAuto   Promotion = "auto"
)

// Dependency is a plan, as PLAN or NAMESPACE/PLAN, that must be at or past a
// phase. The phase `complete` is the state Complete.
type Dependency struct {
	Plan  string `json:"plan"`
	Phase string `json:"phase"`
}

// Role lists who may approve for it, by the e-mail addresses with which they
// commit.
type Role struct {
	Signers []string `json:"signers"`
}

// Window is a time in which forward moves are allowed, or in which they are
// denied: exactly one of the two is given. Where there are allowed ones, now must
// be in one of them; it must be in none that is denied. Either is a time of the
// week (Mon-Fri 09:00-16:00) or a range of dates (2026-12-20/2027-01-04, both
// whole days, or two times as of RFC 3339).
type Window struct {
	Allow string `json:"allow,omitempty"`
	Deny  string `json:"deny,omitempty"`
	// Timezone is a name of the IANA database; UTC where the file names none.
	Timezone string `json:"timezone,omitempty"`
	// Reason is shown while the window keeps the plan from moving.
	Reason string `json:"reason,omitempty"`
}

// ApprovalRule asks for approvals by persons of a role; by one where Count is
// not given.
type ApprovalRule struct {
	Role  string `json:"role"`
	Count *int   `json:"count,omitempty"`
}
