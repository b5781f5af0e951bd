package forge

import (
	"net/http"
	"net/url"
	"strconv"
)

// gitea is v1 of Gitea and Forgejo, which has much of GitHub's form.
type gitea struct{ project string }

// giteaPage is what an instance allows without more being configured.
const giteaPage = 50

func (g gitea) hub() github { return github(g) }

func (g gitea) authorize(h http.Header, token string) { h.Set("Authorization", "token "+token) }

func (g gitea) needs(call string) string {
	switch call {
	case "user":
		return "the scope read:user, or give --forge-user NAME"
	case "list-statuses", "set-status":
		return "the scope write:repository, of a user who may write to the repository"
	case "list-comments", "add-comment", "edit-comment":
		return "the scope write:issue, of a user who may see the repository"
	}
	return "the scope write:repository, of a user who may see the repository"
}

func (g gitea) headRef(n int) string { return g.hub().headRef(n) }

func (g gitea) user() (call, answer[string]) { return g.hub().user() }

func giteaPages(page int) url.Values {
	return url.Values{"limit": {strconv.Itoa(giteaPage)}, "page": {strconv.Itoa(page)}}
}

// pulls lists those against every branch: older versions know no filter.
func (g gitea) pulls(q pullQuery, page int) (call, answer[[]Pull]) {
	cl, out := g.hub().pulls(q, page)
	state := cl.query.Get("state")
	cl.query = giteaPages(page)
	cl.query.Set("state", state)
	cl.query.Set("sort", "recentupdate")
	return cl, out
}

type giteaStatuses struct {
	Statuses []struct {
		Context     string `json:"context"`
		State       State  `json:"status"` // as in the documentation, and unlike GitHub
		Description string `json:"description"`
		TargetURL   string `json:"target_url"`
	} `json:"statuses"`
}

func (s *giteaStatuses) value() []Status {
	var out []Status
	for _, s := range s.Statuses {
		out = append(out, Status{Context: s.Context, State: s.State, Description: s.Description, URL: s.TargetURL})
	}
	return out
}

func (g gitea) statuses(commit, context string, page int) (call, answer[[]Status]) {
	cl, _ := g.hub().statuses(commit, context, page)
	cl.query = giteaPages(page)
	return cl, &giteaStatuses{}
}

func (g gitea) setStatus(commit string, s Status) call { return g.hub().setStatus(commit, s) }

// comments are not paged.
func (g gitea) comments(number, page int) (call, answer[[]comment]) {
	cl, out := g.hub().comments(number, page)
	cl.query = nil
	return cl, out
}

func (g gitea) addComment(number int, text string) call { return g.hub().addComment(number, text) }

func (g gitea) editComment(number int, id int64, text string) call {
	return g.hub().editComment(number, id, text)
}

func (g gitea) open(n NewPull) (call, answer[Pull]) { return g.hub().open(n) }
