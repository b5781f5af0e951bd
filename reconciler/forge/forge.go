package forge

import (
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Kind of a forge.
type Kind string

// The kinds. Gitea is Forgejo too.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea"
)

// Marker is the first line of the comment that is ours. It is not shown.
const Marker = "<!-- changeover:review -->"

// Bounds of what is posted: the least of the three forges.
const (
	maxDescription = 140    // of a status, in characters
	maxText        = 60_000 // of a comment, in bytes
)

// Pull is a pull request.
type Pull struct {
	Number int
	// Branch that it would merge, of this repository or, where Fork is set, of
	// another one.
	Branch string
	Fork   bool
	Base   string // the branch that it would be merged into
	Head   string // the newest commit of Branch
	Open   bool
	URL    string // for people
}

// State of a status.
type State string

// The states.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
)

// Status of a commit.
type Status struct {
	Context     string // its name; a later one of the same name replaces it
	State       State
	Description string // cut to 140 characters
	URL         string // may be empty
	// Branch that the commit is on, also in a fork: GitLab wants it. It is
	// nothing by which statuses differ.
	Branch string
}

// StatusContext is the name of the status for a plan.
func StatusContext(key plan.Key) string {
	if key.Namespace == "default" {
		return "changeover/" + key.Name
	}
	return "changeover/" + key.String()
}

// Outcome is what was done to a comment.
type Outcome string

// The outcomes. NoComment: there is none, and none was wanted.
const (
	Created   Outcome = "created"
	Edited    Outcome = "edited"
	Unchanged Outcome = "unchanged"
	NoComment Outcome = "none"
)

// NewPull is a pull request to open, from a branch of this repository.
type NewPull struct {
	Branch, Base, Title, Body string
	// Head is the commit that the branch is at. Where it is given, a pull
	// request of that commit which a person closed is not opened again.
	Head string
}

// shorten cuts text to n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// fit cuts a comment to what every forge takes.
func fit(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := strings.LastIndexByte(text[:maxText], '\n')
	if cut < 0 {
		cut = maxText
	}
	text = strings.ToValidUTF8(text[:cut], "")
	if strings.Count(text, "\n```")%2 == 1 {
		text += "\n```"
	}
	return text + fmt.Sprintf("\n\nThis is cut at %d bytes.\n", maxText)
}

// same compares texts as a forge may give them back.
func same(a, b string) bool {
	clean := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	return clean(a) == clean(b)
}
