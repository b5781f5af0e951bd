package forge

import (
	"fmt"
	"net/http"
)

// gitlab is v4. Its pull requests are merge requests, its comments notes.
type gitlab struct{ project string } // escaped

func (g gitlab) authorize(h http.Header, token string) { h.Set("Authorization", "Bearer "+token) }

func (g gitlab) needs(call string) string {
	switch call {
	case "list-statuses", "set-status":
		return "the scope api, and at least the role Developer"
	case "user":
		return "the scope api, or give --forge-user NAME"
	}
	return "the scope api, and at least the role Reporter; to open a merge request Developer"
}

func (g gitlab) headRef(n int) string { return fmt.Sprintf("refs/merge-requests/%d/head", n) }

func (g gitlab) path(format string, args ...any) string {
	return "/projects/" + g.project + fmt.Sprintf(format, args...)
}

type username struct {
	Username string `json:"username"`
}

func (u *username) value() string { return u.Username }

func (g gitlab) user() (call, answer[string]) { return getUser, &username{} }

type labPull struct {
	IID             int    `json:"iid"`
	State           string `json:"state"`
	SHA             string `json:"sha"`
	SourceBranch    string `json:"source_branch"`
	TargetBranch    string `json:"target_branch"`
	SourceProjectID *int64 `json:"source_project_id"` // none where the fork is gone
	TargetProjectID int64  `json:"target_project_id"`
	WebURL          string `json:"web_url"`
}

func (p *labPull) value() Pull {
	return Pull{
		Number: p.IID, Branch: p.SourceBranch, Base: p.TargetBranch, Head: p.SHA, Open: p.State == "opened", URL: p.WebURL,
		Fork: p.SourceProjectID == nil || *p.SourceProjectID != p.TargetProjectID,
	}
}

type labPulls []labPull

func (ps *labPulls) value() []Pull {
	var out []Pull
	for _, p := range *ps {
		out = append(out, p.value())
	}
	return out
}

func (g gitlab) pulls(q pullQuery, page int) (call, answer[[]Pull]) {
	query := pages(page)
	query.Set("target_branch", q.base)
	query.Set("state", "opened")
	if q.closed {
		query.Set("state", "all")
	}
	if q.branch != "" {
		query.Set("source_branch", q.branch)
	}
	return call{name: "list-pulls", does: "list the merge requests", method: http.MethodGet, path: g.path("/merge_requests"), query: query}, &labPulls{}
}

// Its states have names of their own.
var labStates = map[State]string{Pending: "pending", Success: "success", Failure: "failed"}

func fromLab(s string) State {
	for state, name := range labStates {
		if name == s {
			return state
		}
	}
	return State(s)
}

type labStatuses []struct {
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Status      string `json:"status"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url"`
}

// value has the newest of each name: there is one for each ref.
func (ss *labStatuses) value() []Status {
	newest := map[string]int64{}
	for _, s := range *ss {
		newest[s.Name] = max(newest[s.Name], s.ID)
	}
	var out []Status
	for _, s := range *ss {
		if s.ID == newest[s.Name] {
			out = append(out, Status{Context: s.Name, State: fromLab(s.Status), Description: s.Description, URL: s.TargetURL})
		}
	}
	return out
}

func (g gitlab) statuses(commit, context string, page int) (call, answer[[]Status]) {
	query := pages(page)
	query.Set("name", context)
	return call{
		name: "list-statuses", does: "read the statuses", method: http.MethodGet, path: g.path("/repository/commits/%s/statuses", commit), query: query,
	}, &labStatuses{}
}

type labStatus struct {
	State       string `json:"state"`
	Name        string `json:"name"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url,omitempty"`
	Ref         string `json:"ref,omitempty"`
}

// setStatus names the branch: where none of the project holds the commit, as
// for a fork, the status is refused without it.
func (g gitlab) setStatus(commit string, s Status) call {
	return call{
		name: "set-status", does: "set the status", method: http.MethodPost, path: g.path("/statuses/%s", commit),
		body: labStatus{labStates[s.State], s.Context, s.Description, s.URL, s.Branch},
	}
}

type labNotes []struct {
	ID     int64    `json:"id"`
	Body   string   `json:"body"`
	Author username `json:"author"`
	System bool     `json:"system"`
}

func (ns *labNotes) value() []comment {
	var out []comment
	for _, n := range *ns {
		if !n.System {
			out = append(out, comment{n.ID, n.Author.Username, n.Body})
		}
	}
	return out
}

func (g gitlab) comments(number, page int) (call, answer[[]comment]) {
	query := pages(page)
	query.Set("sort", "asc")
	query.Set("order_by", "created_at")
	return call{
		name: "list-comments", does: "read the notes", method: http.MethodGet, path: g.path("/merge_requests/%d/notes", number), query: query,
	}, &labNotes{}
}

func (g gitlab) addComment(number int, text string) call {
	return call{name: "add-comment", does: "add a note", method: http.MethodPost, path: g.path("/merge_requests/%d/notes", number), body: bodyOf{text}}
}

func (g gitlab) editComment(number int, id int64, text string) call {
	return call{
		name: "edit-comment", does: "edit the note", method: http.MethodPut, path: g.path("/merge_requests/%d/notes/%d", number, id), body: bodyOf{text},
	}
}

type labNew struct {
	SourceBranch string `json:"source_branch"`
	TargetBranch string `json:"target_branch"`
	Title        string `json:"title"`
	Description  string `json:"description"`
}

func (g gitlab) open(n NewPull) (call, answer[Pull]) {
	return call{
		name: "open-pull", does: "open a merge request", method: http.MethodPost, path: g.path("/merge_requests"),
		body: labNew{n.Branch, n.Base, n.Title, n.Body},
	}, &labPull{}
}
