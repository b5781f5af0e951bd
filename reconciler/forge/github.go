package forge

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// github is REST v3, of github.com and of an Enterprise Server.
type github struct{ project string }

const perPage = 100

func (g github) authorize(h http.Header, token string) {
	h.Set("Authorization", "Bearer "+token)
	h.Set("Accept", "application/vnd.github+json")
	h.Set("X-GitHub-Api-Version", "2022-11-28")
}

func (g github) needs(call string) string {
	switch call {
	case "list-statuses", "set-status":
		return `the permission "Commit statuses: write" (of a classic token: the scope repo:status)`
	case "user":
		return "to be one of a user; for one of an App give --forge-user NAME[bot]"
	}
	return `the permission "Pull requests: write" (of a classic token: the scope repo)`
}

func (g github) headRef(n int) string { return fmt.Sprintf("refs/pull/%d/head", n) }

func (g github) path(format string, args ...any) string {
	return "/repos/" + g.project + fmt.Sprintf(format, args...)
}

type login struct {
	Login string `json:"login"`
}

func (l *login) value() string { return l.Login }

func (g github) user() (call, answer[string]) { return getUser, &login{} }

// getUser is the same everywhere.
var getUser = call{name: "user", does: "ask whose the token is", method: http.MethodGet, path: "/user"}

// hubPull is GitHub's, and with fewer fields Gitea's.
type hubPull struct {
	Number  int    `json:"number"`
	State   string `json:"state"`
	HTMLURL string `json:"html_url"`
	Head    hubEnd `json:"head"`
	Base    hubEnd `json:"base"`
}

type hubEnd struct {
	Ref  string `json:"ref"`
	SHA  string `json:"sha"`
	Repo *struct {
		FullName string `json:"full_name"`
	} `json:"repo"`
}

// value of a pull request whose repository is gone is that of a fork.
func (p *hubPull) value() Pull {
	return Pull{
		Number: p.Number, Branch: p.Head.Ref, Base: p.Base.Ref, Head: p.Head.SHA, Open: p.State == "open", URL: p.HTMLURL,
		Fork: p.Head.Repo == nil || p.Base.Repo == nil || p.Head.Repo.FullName != p.Base.Repo.FullName,
	}
}

type hubPulls []hubPull

func (ps *hubPulls) value() []Pull {
	var out []Pull
	for _, p := range *ps {
		out = append(out, p.value())
	}
	return out
}

func (g github) pulls(q pullQuery, page int) (call, answer[[]Pull]) {
	query := pages(page)
	query.Set("base", q.base)
	query.Set("state", "open")
	if q.closed {
		query.Set("state", "all")
	}
	if q.branch != "" {
		owner, _, _ := strings.Cut(g.project, "/")
		query.Set("head", owner+":"+q.branch)
	}
	return call{name: "list-pulls", does: "list the pull requests", method: http.MethodGet, path: g.path("/pulls"), query: query}, &hubPulls{}
}

func pages(page int) url.Values {
	return url.Values{"per_page": {strconv.Itoa(perPage)}, "page": {strconv.Itoa(page)}}
}

type hubStatuses struct {
	Statuses []struct {
		Context     string `json:"context"`
		State       State  `json:"state"`
		Description string `json:"description"`
		TargetURL   string `json:"target_url"`
	} `json:"statuses"`
}

func (s *hubStatuses) value() []Status {
	var out []Status
	for _, s := range s.Statuses {
		out = append(out, Status{Context: s.Context, State: s.State, Description: s.Description, URL: s.TargetURL})
	}
	return out
}

// statuses asks for the combined status, which has the newest of each name.
func (g github) statuses(commit, _ string, page int) (call, answer[[]Status]) {
	return call{
		name: "list-statuses", does: "read the statuses", method: http.MethodGet, path: g.path("/commits/%s/status", commit), query: pages(page),
	}, &hubStatuses{}
}

type hubStatus struct {
	Context     string `json:"context"`
	State       State  `json:"state"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url,omitempty"`
}

func (g github) setStatus(commit string, s Status) call {
	return call{
		name: "set-status", does: "set the status", method: http.MethodPost, path: g.path("/statuses/%s", commit),
		body: hubStatus{s.Context, s.State, s.Description, s.URL},
	}
}

type hubComments []struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
	User login  `json:"user"`
}

func (cs *hubComments) value() []comment {
	var out []comment
	for _, c := range *cs {
		out = append(out, comment{c.ID, c.User.Login, c.Body})
	}
	return out
}

func (g github) comments(number, page int) (call, answer[[]comment]) {
	return call{
		name: "list-comments", does: "read the comments", method: http.MethodGet, path: g.path("/issues/%d/comments", number), query: pages(page),
	}, &hubComments{}
}

type bodyOf struct {
	Body string `json:"body"`
}

func (g github) addComment(number int, text string) call {
	return call{name: "add-comment", does: "comment", method: http.MethodPost, path: g.path("/issues/%d/comments", number), body: bodyOf{text}}
}

func (g github) editComment(_ int, id int64, text string) call {
	return call{name: "edit-comment", does: "edit the comment", method: http.MethodPatch, path: g.path("/issues/comments/%d", id), body: bodyOf{text}}
}

type hubNew struct {
	Title string `json:"title"`
	Head  string `json:"head"`
	Base  string `json:"base"`
	Body  string `json:"body"`
}

func (g github) open(n NewPull) (call, answer[Pull]) {
	return call{
		name: "open-pull", does: "open a pull request", method: http.MethodPost, path: g.path("/pulls"), body: hubNew{n.Title, n.Branch, n.Base, n.Body},
	}, &hubPull{}
}
