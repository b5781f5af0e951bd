package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// unless posts what is not there. It looks first, and looks again after an answer
// that was lost, so that nothing is there twice; and after one that says that it
// is there already.
func (c *Client) unless(ctx context.Context, there func() (bool, error), post call, out any) (posted bool, err error) {
	for tried := 1; ; tried++ {
		found, err := there()
		if err != nil || found {
			return false, err
		}
		_, err = c.do(ctx, post, out)
		if err == nil {
			return true, nil
		}
		var e *Error
		if !errors.As(err, &e) || tried == maxAsked {
			return false, err
		}
		switch {
		case e.maybe:
			if c.pause(ctx, tried) != nil {
				return false, err
			}
		case e.Code == http.StatusConflict, e.Code == http.StatusUnprocessableEntity, e.Code == http.StatusBadRequest:
			if found, again := there(); again != nil || !found {
				return false, err
			}
			return false, nil
		default:
			return false, err
		}
	}
}

// SetStatus sets a status of a commit, and does nothing where it is set already.
func (c *Client) SetStatus(ctx context.Context, commit string, s Status) (changed bool, err error) {
	if !isCommit(commit) {
		return false, fmt.Errorf("set the status: %q is not the name of a commit", shorten(commit, 60))
	}
	s.Description = shorten(strings.Join(strings.Fields(s.Description), " "), maxDescription)
	there := func() (bool, error) {
		now, err := c.statusOf(ctx, commit, s.Context)
		now.Branch = s.Branch
		return now == s, err
	}
	return c.unless(ctx, there, c.d.setStatus(commit, s), nil)
}

// isCommit reports whether it is a whole name, which is safe in a path.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// statusOf is the one of that name; the zero one where there is none.
func (c *Client) statusOf(ctx context.Context, commit, name string) (Status, error) {
	for page := 1; page <= maxPullPages; page++ {
		cl, ans := c.d.statuses(commit, name, page)
		h, err := c.do(ctx, cl, ans)
		if err != nil {
			return Status{}, err
		}
		for _, s := range ans.value() {
			if s.Context == name {
				return s, nil
			}
		}
		if !hasNext(h) {
			break
		}
	}
	return Status{}, nil
}

// Comment makes the comment of ours on a pull request this text, whose first
// line must be Marker. Where there is none it is made, if create is set. Of a
// text that is there already nothing is written.
func (c *Client) Comment(ctx context.Context, number int, text string, create bool) (Outcome, error) {
	if !strings.HasPrefix(text, Marker) {
		return "", fmt.Errorf("comment: the text does not begin with %s", Marker)
	}
	text = fit(text)
	var ours comment
	there := func() (found bool, err error) {
		ours, found, err = c.ours(ctx, number)
		return found, err
	}
	if !create {
		if found, err := there(); err != nil || !found {
			return NoComment, err
		}
	} else if posted, err := c.unless(ctx, there, c.d.addComment(number, text), nil); err != nil || posted {
		return Created, err
	}
	if same(ours.text, text) {
		return Unchanged, nil
	}
	_, err := c.do(ctx, c.d.editComment(number, ours.id, text), nil)
	return Edited, err
}

// ours is the comment with the marker that we made ourselves: anybody may write
// a marker.
func (c *Client) ours(ctx context.Context, number int) (comment, bool, error) {
	who, err := c.user(ctx)
	if err != nil {
		return comment{}, false, err
	}
	for page := 1; page <= maxCommentPages; page++ {
		cl, ans := c.d.comments(number, page)
		h, err := c.do(ctx, cl, ans)
		if err != nil {
			return comment{}, false, err
		}
		for _, m := range ans.value() {
			if strings.EqualFold(m.user, who) && strings.HasPrefix(strings.TrimSpace(m.text), Marker) {
				return m, true, nil
			}
		}
		if !hasNext(h) {
			return comment{}, false, nil
		}
	}
	return comment{}, false, fmt.Errorf("%s: pull request %d has more than %d pages of comments: ours is not looked for any further", c.o.Place.Kind, number, maxCommentPages)
}

// user is whose the token is. It is asked once for a token.
func (c *Client) user(ctx context.Context) (string, error) {
	if c.o.User != "" {
		return c.o.User, nil
	}
	token, err := readToken(c.o.TokenFile)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	who, whose := c.who, c.whose
	c.mu.Unlock()
	if who != "" && whose == token {
		return who, nil
	}
	cl, ans := c.d.user()
	if _, err := c.do(ctx, cl, ans); err != nil {
		return "", err
	}
	if who = ans.value(); who == "" {
		return "", fmt.Errorf("%s: %s: the answer names nobody; give --forge-user NAME", c.o.Place.Kind, cl.does)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.who, c.whose = who, token
	return who, nil
}

// Open opens a pull request, and returns the open one of that branch where
// there is one. Where NewPull.Head is given and a closed one has it as its head,
// that one is returned.
func (c *Client) Open(ctx context.Context, n NewPull) (p Pull, opened bool, err error) {
	n.Title, n.Body = shorten(strings.Join(strings.Fields(n.Title), " "), 250), fit(n.Body)
	there := func() (bool, error) {
		all, err := c.list(ctx, pullQuery{base: n.Base, branch: n.Branch, closed: n.Head != ""})
		for _, q := range all {
			if q.Open || q.Head == n.Head {
				p = q
			}
			if q.Open {
				break
			}
		}
		return p.Number != 0, err
	}
	cl, ans := c.d.open(n)
	opened, err = c.unless(ctx, there, cl, ans)
	if opened {
		p = ans.value()
	}
	return p, opened, err
}
