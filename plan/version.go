package plan

// Revision is the full object name of a Git commit, in lower-case hex.
type Revision string

// Short is the form for people: the first ten digits.
func (r Revision) Short() string {
	if len(r) > 10 {
		return string(r[:10])
	}
	return string(r)
}

// Digest names content: `sha256:` and the hex sum of a canonical encoding.
type Digest string

// Version is a plan as it stands at one revision.
type Version struct {
	Plan     *Plan    `json:"plan"`
	Revision Revision `json:"revision"`
	// Path of the plan's file at that revision, with slashes.
	Path string `json:"path"`
	// Content is everything that the plan reads but its position and suspend.
	Content Digest `json:"content"`
	// Live is the part of the content that changes routes, flags, backends
	// or cluster.
	Live Digest `json:"live"`
}

// IsZero reports whether there is no plan.
func (v Version) IsZero() bool { return v.Plan == nil }
