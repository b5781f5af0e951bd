package forgetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Project of the one repository that a Fake has.
const Project = "ops/migrations"

// Fake is a GitHub with one repository, for as much of its API as is used here,
// in the form of the recordings. It remembers what is posted.
type Fake struct {
	*httptest.Server
	t     testing.TB
	token string

	mu       sync.Mutex
	pulls    []*FakePull
	statuses map[string][]FakeStatus // by commit, oldest first
	writes   []string                // every POST and PATCH that was taken
	asked    int
	down     int // requests that are to fail
}

// FakePull is a pull request.
type FakePull struct {
	Number                        int
	Branch, Base, Head            string
	Title, Body, State, FromOwner string
	Comments                      []FakeComment
}

// FakeComment is a comment, with the number of times that it was edited.
type FakeComment struct {
	ID     int64
	User   string
	Body   string
	Edited int
}

// FakeStatus is what was posted.
type FakeStatus struct {
	Context     string `json:"context"`
	State       string `json:"state"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url"`
}

// NewFake starts one. A request without the token is refused.
func NewFake(t testing.TB, token string) *Fake {
	f := &Fake{t: t, token: token, statuses: map[string][]FakeStatus{}}
	mux := http.NewServeMux()
	repo := "/api/v3/repos/" + Project
	mux.HandleFunc("GET /api/v3/user", f.with(func(*http.Request) (int, any) { return 200, user("changeover-bot") }))
	mux.HandleFunc("GET "+repo+"/pulls", f.with(f.list))
	mux.HandleFunc("POST "+repo+"/pulls", f.with(f.open))
	mux.HandleFunc("GET "+repo+"/commits/{sha}/status", f.with(f.status))
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", f.with(f.setStatus))
	mux.HandleFunc("GET "+repo+"/issues/{n}/comments", f.with(f.comments))
	mux.HandleFunc("POST "+repo+"/issues/{n}/comments", f.with(f.comment))
	mux.HandleFunc("PATCH "+repo+"/issues/comments/{id}", f.with(f.edit))
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

type object = map[string]any

func user(name string) object { return object{"login": name, "type": "User"} }

// with checks the token, and counts what is written.
func (f *Fake) with(h func(*http.Request) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked++
		code, body := http.StatusUnauthorized, any(object{"message": "Bad credentials"})
		switch {
		case f.down > 0:
			f.down--
			code, body = http.StatusBadGateway, object{"message": "Server Error"}
		case r.Header.Get("Authorization") == "Bearer "+f.token:
			if code, body = h(r); r.Method != http.MethodGet && code < 300 {
				f.writes = append(f.writes, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v3/repos/"+Project))
			}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			f.t.Error(err)
		}
	}
}

func decode(r *http.Request, into any) bool { return json.NewDecoder(r.Body).Decode(into) == nil }

func (f *Fake) list(r *http.Request) (int, any) {
	q := r.URL.Query()
	out := []object{}
	for _, p := range f.pulls {
		head := q.Get("head")
		if p.Base == q.Get("base") && (q.Get("state") == "all" || p.State == q.Get("state")) && (head == "" || head == p.FromOwner+":"+p.Branch) {
			out = append(out, f.json(p))
		}
	}
	return 200, out
}

func (f *Fake) json(p *FakePull) object {
	repo := func(owner string) object { return object{"full_name": owner + "/migrations"} }
	return object{
		"number": p.Number, "state": p.State, "title": p.Title, "html_url": fmt.Sprintf("%s/%s/pull/%d", f.URL, Project, p.Number),
		"head": object{"ref": p.Branch, "sha": p.Head, "repo": repo(p.FromOwner)}, "base": object{"ref": p.Base, "repo": repo("ops")},
	}
}

func (f *Fake) open(r *http.Request) (int, any) {
	var n struct{ Title, Head, Base, Body string }
	if !decode(r, &n) {
		return 400, object{"message": "Problems parsing JSON"}
	}
	for _, p := range f.pulls {
		if p.Branch == n.Head && p.Base == n.Base && p.State == "open" && p.FromOwner == "ops" {
			return 422, object{"message": "Validation Failed", "errors": []object{{"message": "A pull request already exists for ops:" + n.Head + "."}}}
		}
	}
	p := &FakePull{Number: len(f.pulls) + 1, Branch: n.Head, Base: n.Base, Title: n.Title, Body: n.Body, State: "open", FromOwner: "ops", Head: strings.Repeat("0", 40)}
	f.pulls = append(f.pulls, p)
	return 201, f.json(p)
}

func (f *Fake) status(r *http.Request) (int, any) {
	newest := []FakeStatus{}
	for _, s := range slices.Backward(f.statuses[r.PathValue("sha")]) {
		if !slices.ContainsFunc(newest, func(n FakeStatus) bool { return n.Context == s.Context }) {
			newest = append(newest, s)
		}
	}
	return 200, object{"statuses": newest, "sha": r.PathValue("sha")}
}

func (f *Fake) setStatus(r *http.Request) (int, any) {
	var s FakeStatus
	if !decode(r, &s) || s.Context == "" || len([]rune(s.Description)) > 140 {
		return 422, object{"message": "Validation Failed"}
	}
	sha := r.PathValue("sha")
	f.statuses[sha] = append(f.statuses[sha], s)
	return 201, s
}

// find is the pull request that a path names.
func (f *Fake) find(r *http.Request) *FakePull {
	for _, p := range f.pulls {
		if fmt.Sprint(p.Number) == r.PathValue("n") {
			return p
		}
	}
	return nil
}

func (f *Fake) comments(r *http.Request) (int, any) {
	p := f.find(r)
	if p == nil {
		return 404, object{"message": "Not Found"}
	}
	out := []object{}
	for _, c := range p.Comments {
		out = append(out, object{"id": c.ID, "body": c.Body, "user": user(c.User)})
	}
	return 200, out
}

func (f *Fake) comment(r *http.Request) (int, any) {
	p := f.find(r)
	var n struct{ Body string }
	if p == nil || !decode(r, &n) {
		return 404, object{"message": "Not Found"}
	}
	p.Comments = append(p.Comments, FakeComment{ID: int64(100*p.Number + len(p.Comments)), User: "changeover-bot", Body: n.Body})
	return 201, object{"id": 1}
}

func (f *Fake) edit(r *http.Request) (int, any) {
	var n struct{ Body string }
	if !decode(r, &n) {
		return 400, object{"message": "Problems parsing JSON"}
	}
	for _, p := range f.pulls {
		for i := range p.Comments {
			if c := &p.Comments[i]; fmt.Sprint(c.ID) == r.PathValue("id") {
				c.Body, c.Edited = n.Body, c.Edited+1
				return 200, object{"id": c.ID}
			}
		}
	}
	return 404, object{"message": "Not Found"}
}

// Add opens a pull request as somebody else would, and returns its number.
func (f *Fake) Add(p FakePull) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Number, p.State = len(f.pulls)+1, "open"
	if p.FromOwner == "" {
		p.FromOwner = "ops"
	}
	f.pulls = append(f.pulls, &p)
	return p.Number
}

// Change changes a pull request.
func (f *Fake) Change(number int, change func(*FakePull)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.pulls[number-1])
}

// Down has the next n requests fail.
func (f *Fake) Down(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = n
}

// Pulls are all, as they are now.
func (f *Fake) Pulls() []FakePull {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []FakePull
	for _, p := range f.pulls {
		q := *p
		q.Comments = slices.Clone(p.Comments)
		out = append(out, q)
	}
	return out
}

// Statuses of a commit, oldest first.
func (f *Fake) Statuses(commit string) []FakeStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.statuses[commit])
}

// Writes are what was posted or edited, and Asked is how many requests came.
func (f *Fake) Writes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.writes)
}

// Asked is how many requests came.
func (f *Fake) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}
